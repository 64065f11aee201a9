"""The resources of group ``weighmaster.dev``, typed; CRDs and their reference come from here."""

GROUP = "weighmaster.dev"
