"""Verification of signatures over model weights: OpenSSF Model Signing (OMS v1.0), and cosign.

Pure: bytes and values in, values out; the time is an argument. The way through it for OMS:

    bundle     bytes of a Sigstore bundle           -> Bundle (DSSE envelope, material)
    signature  Bundle, Authority, time              -> Signer, or VerificationError
    statement  payload of the envelope              -> Manifest (names and digests)
    model      bundles, Requirement, files, time    -> Verified (all of it, with threshold)
    compare    Manifest, files                      -> Comparison

``model.verify_model`` is the one path for both ways of knowing the files: what a hub lists, and a
tree that was hashed. Cosign signs the manifest of an OCI artifact, which covers all of it:

    cosign         what lies beside an artifact, Authority, time -> Signer, of either form
    cosign_legacy  a simple-signing payload with annotations     -> Signer (2.x)
    cosign_log     its entry in a transparency log               -> subject and issuer

``signature`` serves both. It takes a key (`signing_keys`), a chain up to given roots (`chains`) or
a keyless identity: `keyless` for bundles, on the ``sigstore`` library, which only it and
`trust_root` know; `identities` and `transparency` for what a certificate of Fulcio's says and where
it is logged.
"""
