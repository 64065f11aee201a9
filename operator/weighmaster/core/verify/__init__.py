"""Verification of signatures over model weights (OpenSSF Model Signing, OMS v1.0).

Pure: bytes and values in, values out; the time is an argument. The way through it:

    bundle     bytes of a Sigstore bundle           -> Bundle (DSSE envelope, material)
    signature  Bundle, Authority, time              -> Signer, or VerificationError
    statement  payload of the envelope              -> Manifest (names and digests)
    model      bundles, Requirement, files, time    -> Verified (all of it, with threshold)
    compare    Manifest, files                      -> Comparison

``model.verify_model`` is the one path for both ways of knowing the files: what a hub lists, and a
tree that was hashed.
"""
