"""C2PA signatures through `c2pa-python` (extra `c2pa`), without thumbnails and without network.

The signing key is read from its file, checked and handed to the library. No message quotes it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from PIL import Image

from pigeon_rec._version import __version__
from pigeon_rec.errors import ConfigError, WarehouseError, error_text
from pigeon_rec.warehouse.marks import Mark

__all__ = ["Signature", "Signer", "is_signed", "load_signer", "read_signature"]

# A thumbnail would cost many times the bytes and the time of the signature itself.
_SIGNING: Final = {"builder": {"thumbnail": {"enabled": False}}}
_READING: Final = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_EC: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_REMEDY: Final = (
    "C2PA needs a certificate for signing (extended key usage emailProtection or documentSigning) "
    "with its chain, and its unencrypted key, both in PEM"
)


@dataclass(frozen=True)
class Signature:
    """What is known of a C2PA signature.

    Attributes:
        state: `trusted` (valid, by a certificate of a trusted authority), `valid` (by any
            certificate), `invalid` (the picture was changed), or `unchecked` without `c2pa-python`.
        signer: Name in the certificate.
        source_type: IPTC's DigitalSourceType, as the signed manifest has it.
        reasons: Why the signature is invalid or not trusted, as the C2PA standard's codes.
    """

    state: Literal["trusted", "valid", "invalid", "unchecked"]
    signer: str | None = None
    source_type: str | None = None
    reasons: tuple[str, ...] = ()


class Signer:
    """Signs pictures with one certificate; from `load_signer`."""

    def __init__(self, library: ModuleType, signer: Any) -> None:
        self._library = library
        self._signer = signer
        self._context = library.Context.from_dict(_SIGNING)

    def sign(self, image: bytes, encoding: str, mark: Mark) -> bytes:
        """Returns the file with a manifest inside that says what the mark says.

        Raises:
            WarehouseError: The library refuses to sign.
        """
        signed = io.BytesIO()
        manifest = json.dumps(_manifest(mark))
        try:
            with self._library.Builder(manifest, context=self._context) as builder:
                builder.sign(self._signer, f"image/{encoding}", io.BytesIO(image), signed)
        except self._library.C2paError as error:
            raise WarehouseError(
                f"a picture cannot be signed: {error_text(error)}",
                location=mark.asset_key,
                remedy=_REMEDY,
            ) from None
        return signed.getvalue()


def load_signer(certificate: Path, key: Path) -> Signer:
    """Reads certificate and key, and signs a picture to try them.

    Args:
        certificate: PEM file: the signing certificate, then those of the authorities above it.
        key: PEM file with the certificate's private key, unencrypted.

    Raises:
        ConfigError: `c2pa-python` is missing, or the files are not fit for signing.
    """
    library = _library()
    if library is None:
        raise ConfigError(
            "signing pictures needs the package c2pa-python",
            location="warehouse.marking: c2pa",
            remedy="Install it: pip install 'pigeon-rec[c2pa]'",
        )
    chain, secret = _read(certificate, "certificate"), _read(key, "key")
    algorithm = _algorithm(chain, secret, certificate, key)
    info = library.C2paSignerInfo(algorithm, chain, secret, None)
    try:
        signer = Signer(library, library.Signer.from_info(info))
        signer.sign(_sample(), "png", Mark("trial", "trial"))
    except (library.C2paError, WarehouseError) as error:
        what = error.what if isinstance(error, WarehouseError) else error_text(error)
        raise ConfigError(
            f"the certificate is not fit for signing: {what}",
            location=str(certificate),
            remedy=_REMEDY,
        ) from None
    return signer


def is_signed(image: bytes) -> bool:
    """Returns whether a file seems to hold a C2PA manifest, without the library."""
    return b"jumb" in image and b"c2pa" in image


def read_signature(image: bytes, authorities: bytes | None = None) -> Signature | None:
    """Returns the state of the C2PA signature in a picture file; None if there is none.

    Nothing is fetched: a manifest that is only referred to counts as none.

    Args:
        image: A picture file.
        authorities: Certificates in PEM that are trusted.
    """
    library = _library()
    if library is None or not is_signed(image):
        return Signature("unchecked") if is_signed(image) else None
    settings: dict[str, Any] = dict(_READING)
    if authorities is not None:
        settings["trust"] = {"trust_anchors": authorities.decode("ascii", "replace")}
    try:
        context = library.Context.from_dict(settings)
        with library.Reader(_media_type(image), io.BytesIO(image), context=context) as reader:
            return _signature(json.loads(reader.json()))
    except library.C2paError as error:
        return Signature("invalid", reasons=(error_text(error),))
    except (AttributeError, LookupError, TypeError, ValueError):
        return Signature("invalid", reasons=("the manifest has another form",))


def _library() -> ModuleType | None:
    try:
        import c2pa
    except ImportError:
        return None
    library: ModuleType = c2pa
    return library


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the {what} for signing pictures: {error.strerror}",
            location=str(file.absolute()),
            remedy=f"Name a file in PEM in warehouse.{what}",
        ) from error


def _algorithm(chain: bytes, secret: bytes, certificate: Path, key: Path) -> str:
    """Returns the C2PA name of the key's algorithm, after checking that both files belong together.

    Raises:
        ConfigError: A file is damaged, or the key is of another certificate. The causes are left
            out: they could quote the key.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        public = x509.load_pem_x509_certificate(chain).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _unfit("this is no certificate in PEM", certificate) from None
    try:
        private = serialization.load_pem_private_key(secret, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unfit("this is no unencrypted private key in PEM", key) from None
    if private.public_key() != public:
        raise _unfit("the key does not belong to the certificate", key)
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _EC:
        return _EC[private.curve.name]
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise _unfit("C2PA has no signatures with keys of this kind", key)


def _unfit(what: str, file: Path) -> ConfigError:
    return ConfigError(what, location=str(file.absolute()), remedy=_REMEDY)


def _sample() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "png")
    return stream.getvalue()


def _manifest(mark: Mark) -> Mapping[str, Any]:
    action = {
        "action": "c2pa.created",
        "digitalSourceType": mark.source_type,
        "softwareAgent": {"name": "pigeon_rec", "version": mark.model_version},
    }
    return {
        "claim_generator_info": [{"name": "pigeon_rec", "version": __version__}],
        "title": mark.asset_key,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


def _media_type(image: bytes) -> str:
    with Image.open(io.BytesIO(image)) as picture:
        return Image.MIME.get(picture.format or "", "")


def _signature(store: Mapping[str, Any]) -> Signature:
    manifest = store["manifests"][store["active_manifest"]]
    named = manifest.get("signature_info", {})
    found = store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    source_types = [
        action.get("digitalSourceType")
        for assertion in manifest.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"].get("actions", [])
    ]
    states: dict[str, Literal["trusted", "valid", "invalid"]]
    states = {"Trusted": "trusted", "Valid": "valid"}
    return Signature(
        state=states.get(store.get("validation_state", ""), "invalid"),
        signer=named.get("common_name") or named.get("issuer"),
        source_type=next(filter(None, source_types), None),
        reasons=tuple(fault["code"] for fault in found),
    )
