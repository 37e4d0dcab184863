"""A night whose pictures are signed with C2PA, by a certificate made here, and verified.

The packages of the extra `c2pa` lie in a folder of their own: `make test-c2pa` runs this file.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.config import NightlyConfig, WarehouseConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.report import report_night
from pigeon_rec.runtime.work_dir import serving_file, warehouse_file
from pigeon_rec.warehouse import (
    AssetReader,
    ask,
    check_warehouse,
    open_warehouse,
)
from pigeon_rec.warehouse.marking import Marker, mark_stored, marker_of
from pigeon_rec.warehouse.marks import Mark, unmark_picture
from pigeon_rec.warehouse.verify import Verdict, verify_pictures
from tests.nightly.made_night import NIGHT, MadeNight, Pair, encoded, write_catalogue

pytest.importorskip("c2pa", reason="its packages are not installed: run `make test-c2pa`")
x509 = pytest.importorskip("cryptography.x509", reason="run `make test-c2pa`")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

PAIRS = [Pair(user, item) for user in ("ada", "bob") for item in ("line/apple", "line/boat")]
PEM = serialization.Encoding.PEM
USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclasses.dataclass
class Certified:
    """A signing certificate with its key and authority, as PEM files."""

    certificate: Path
    key: Path
    authority: Path


def certify(folder: Path, private: Any = None, *, days: int = 30, name: str = "Team") -> Certified:
    """Makes an authority and a certificate of it that is fit for C2PA."""
    folder.mkdir(exist_ok=True)
    root, private = ec.generate_private_key(ec.SECP256R1()), private or new_key()
    ca = certificate(f"{name} authority", root.public_key(), f"{name} authority", root, None)
    leaf = certificate(f"{name} pictures", private.public_key(), f"{name} authority", root, days)
    found = Certified(folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
    found.authority.write_bytes(ca.public_bytes(PEM))
    found.certificate.write_bytes(leaf.public_bytes(PEM) + ca.public_bytes(PEM))
    found.key.write_bytes(
        private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found


def new_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(subject: str, public: Any, issuer: str, signed_by: Any, days: int | None) -> Any:
    """A certificate for signing, valid until in `days` days; or of an authority, if None."""
    now = dt.datetime.now(dt.UTC)
    uses = {use: use == ("key_cert_sign" if days is None else "digital_signature") for use in USES}
    until = now + dt.timedelta(days=90 if days is None else days)
    made = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=90))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=days is None, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**uses), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signed_by.public_key()),
            critical=False,
        )
    )
    if days is not None:
        signing = [x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]
        made = made.add_extension(x509.ExtendedKeyUsage(signing), critical=False)
    return made.sign(signed_by, hashes.SHA256())


def named(text: str) -> Any:
    kinds = x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME
    return x509.Name([x509.NameAttribute(kind, text) for kind in kinds])


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certify(tmp_path_factory.mktemp("team"))


@pytest.fixture
def make_config(tmp_path: Path, team: Certified) -> Callable[..., NightlyConfig]:
    def make(work_dir: str = "var", **warehouse: Any) -> NightlyConfig:
        signing = {"marking": "c2pa", "certificate": team.certificate, "key": team.key}
        return NightlyConfig.model_validate(
            {
                "work_dir": tmp_path / work_dir,
                "catalogue": str(write_catalogue(tmp_path / "catalogue")),
                "warehouse": {**signing, **warehouse},
            }
        )

    return make


def served(config: NightlyConfig, folder: Path) -> list[Path]:
    """The served pictures as files."""
    folder.mkdir(exist_ok=True)
    with AssetReader(serving_file(config.work_dir)) as reader:
        assets = [reader.get(pair.user_id, pair.item_id) for pair in PAIRS]
    files = []
    for asset in assets:
        assert asset is not None
        files.append(folder / f"{asset.asset_key}.{asset.format}")
        files[-1].write_bytes(asset.read())
    return files


@pytest.mark.parametrize("images", ["table", "store"])
def test_the_pictures_of_a_night_are_signed_and_verified(
    make_config: Callable[..., NightlyConfig], team: Certified, tmp_path: Path, images: str
) -> None:
    store = "table" if images == "table" else (tmp_path / "pictures").as_uri()
    config = make_config(images=store)
    MadeNight(PAIRS).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    report_night(config, NIGHT)
    files = served(config, tmp_path / "served")
    verdicts = verify_pictures(
        files, warehouse=serving_file(config.work_dir), trusted=team.authority
    )
    assert verdicts == [
        Verdict(
            file=str(file),
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            marking="c2pa",
            signature="trusted",
            signer="Team pictures",
            model_version="model-1",
            asset_key=pair.key,
            known=True,
        )
        for file, pair in zip(files, PAIRS, strict=True)
    ]
    assert {v.signature for v in verify_pictures(files)} == {"valid"}
    assert check_warehouse(warehouse_file(config.work_dir)).rows() == []
    drawn = ask(serving_file(config.work_dir), "SELECT asset_key, drawn_sha256 FROM assets")
    for key, sha256 in drawn.iter_rows():
        image = (tmp_path / "served" / f"{key}.png").read_bytes()
        assert hashlib.sha256(unmark_picture(image, "png")).hexdigest() == sha256


def test_two_publications_of_one_night_are_equal_by_content(
    make_config: Callable[..., NightlyConfig], tmp_path: Path
) -> None:
    """Their signatures differ: each has a time and an id of its own."""
    contents, pictures = set(), []
    for name, marking in (("one", "c2pa"), ("two", "c2pa"), ("three", None)):
        config = make_config(name, marking=marking)
        MadeNight(PAIRS).write(config)
        contents.add(publish_night(config, NIGHT).content_sha256)
        promote_night(config)
        pictures.append([file.read_bytes() for file in served(config, tmp_path / name)])
    assert len(contents) == 1
    assert all(len(set(three)) == 3 for three in zip(*pictures, strict=True))


def test_a_signed_picture_is_not_signed_again(make_config: Callable[..., NightlyConfig]) -> None:
    config = make_config()
    MadeNight(PAIRS).write(config)
    publish_night(config, NIGHT)
    rows = "SELECT asset_key, image FROM assets ORDER BY ALL"
    before = ask(warehouse_file(config.work_dir), rows)
    assert not publish_night(config, NIGHT).changed
    MadeNight([*PAIRS, Pair("eve", "line/cat")]).write(config)
    assert publish_night(config, NIGHT).changed
    tomorrow = NIGHT + dt.timedelta(days=1)
    reused = [dataclasses.replace(pair, status="reuse") for pair in PAIRS]
    MadeNight(reused, tomorrow).write(config)
    assert publish_night(config, tomorrow).reused == len(PAIRS)
    after = ask(warehouse_file(config.work_dir), rows)
    assert after.height == before.height + 1
    assert after.join(before, on=["asset_key", "image"], how="semi").equals(before)


def test_stored_pictures_are_signed_on_request(
    make_config: Callable[..., NightlyConfig], team: Certified, tmp_path: Path
) -> None:
    config = make_config(marking="metadata")
    MadeNight(PAIRS).write(config)
    publish_night(config, NIGHT)
    signing = make_config()
    marker = marker_of(signing.warehouse)
    assert marker is not None
    with open_warehouse(warehouse_file(config.work_dir)) as connection:
        assert mark_stored(connection, marker) == len(PAIRS)
        assert mark_stored(connection, Marker("metadata")) == 0  # a signature says more
    promote_night(config)
    verdicts = verify_pictures(served(config, tmp_path / "served"), trusted=team.authority)
    assert [verdict.problem for verdict in verdicts] == [None] * len(PAIRS)
    assert not publish_night(signing, NIGHT).changed
    assert check_warehouse(warehouse_file(config.work_dir)).rows() == []


def with_other_key(image: bytes, encoding: str) -> bytes:
    """The file with another asset key in its mark, and else the same."""
    if encoding == "webp":
        return image.replace(b'identifier="key"', b'identifier="kex"')
    start = image.index(b"iTXtXML:com.adobe.xmp")
    end = start + 4 + int.from_bytes(image[start - 4 : start], "big")
    chunk = image[start:end].replace(b'identifier="key"', b'identifier="kex"')
    return image[:start] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + image[end + 4 :]


@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_a_changed_picture_is_found(team: Certified, tmp_path: Path, encoding: str) -> None:
    marker = marker_of(WarehouseConfig(marking="c2pa", certificate=team.certificate, key=team.key))
    assert marker is not None
    drawn, _ = encoded("changed", encoding)
    signed = marker.mark(drawn, encoding, Mark("model-1", "key"))
    assert unmark_picture(signed, encoding) == drawn
    assert marker.mark(drawn, encoding, Mark("model-1", "key")) != signed
    file = tmp_path / f"picture.{encoding}"
    file.write_bytes(signed)
    [verdict] = verify_pictures([file])
    assert (verdict.signature, verdict.problem) == ("valid", None)
    file.write_bytes(with_other_key(signed, encoding))
    [verdict] = verify_pictures([file])
    assert (verdict.signature, verdict.asset_key) == ("invalid", "kex")
    assert "the signature does not hold: " in str(verdict.problem)
    file.write_bytes(drawn)
    assert verify_pictures([file])[0].problem == "it is not marked as generated"


def test_a_signature_by_another_team_is_not_trusted(team: Certified, tmp_path: Path) -> None:
    other = certify(tmp_path / "other", name="Other")
    marker = marker_of(
        WarehouseConfig(marking="c2pa", certificate=other.certificate, key=other.key)
    )
    assert marker is not None
    file = tmp_path / "picture.png"
    file.write_bytes(marker.mark(encoded("a")[0], "png", Mark("model-1", "key")))
    [verdict] = verify_pictures([file], trusted=team.authority)
    assert (verdict.signature, verdict.signer) == ("valid", "Other pictures")
    assert verdict.problem == "it is not signed with a trusted certificate"


@pytest.mark.parametrize(
    "new",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
def test_keys_of_every_kind_sign(tmp_path: Path, new: Callable[[], Any]) -> None:
    made = certify(tmp_path / "made", new())
    marker = marker_of(WarehouseConfig(marking="c2pa", certificate=made.certificate, key=made.key))
    assert marker is not None
    file = tmp_path / "picture.png"
    file.write_bytes(marker.mark(encoded("a")[0], "png", Mark("model-1", "key")))
    assert verify_pictures([file], trusted=made.authority)[0].signature == "trusted"


def secret_lines(key: Path) -> set[str]:
    """The lines of a key file without its frame."""
    lines = key.read_text().splitlines() if key.exists() else []
    return {line for line in lines if not line.startswith("-----") or "SECRET" in line}


def encrypt(key: Path) -> None:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"word")
    key.write_bytes(private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, locked))


def cut(key: Path) -> None:
    lines = key.read_text().splitlines()
    key.write_text("\n".join([*lines[:2], *lines[3:]]))


def swap(made: Certified) -> None:
    made.key.write_bytes(certify(made.key.parent / "another").key.read_bytes())


def expire(made: Certified) -> None:
    private = serialization.load_pem_private_key(made.key.read_bytes(), None)
    certify(made.key.parent, private, days=-1)


def unfit(key: Path) -> bytes:
    """A certificate of the key that signs itself and may be used for nothing."""
    private: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    made = certificate("Self", private.public_key(), "Self", private, None)
    return bytes(made.public_bytes(PEM))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda made: made.key.unlink(), "cannot read the key"),
        (lambda made: made.certificate.unlink(), "cannot read the certificate"),
        (lambda made: made.certificate.write_bytes(b"x"), "this is no certificate in PEM"),
        (lambda made: made.key.write_text("-----BEGIN SECRET-----"), "no unencrypted private key"),
        (lambda made: encrypt(made.key), "no unencrypted private key"),
        (lambda made: cut(made.key), "no unencrypted private key"),
        (swap, "the key does not belong to the certificate"),
        (expire, "not fit for signing"),
        (lambda made: made.certificate.write_bytes(unfit(made.key)), "not fit for signing"),
    ],
)
def test_unfit_files_are_refused_before_any_work_and_the_key_is_never_told(
    make_config: Callable[..., NightlyConfig],
    tmp_path: Path,
    harm: Callable[[Certified], object],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = certify(tmp_path / "made")
    secrets = secret_lines(made.key)
    harm(made)
    secrets |= secret_lines(made.key)
    config = make_config(certificate=made.certificate, key=made.key)
    MadeNight(PAIRS).write(config)
    with pytest.raises(ConfigError, match=message) as caught:
        publish_night(config, NIGHT)
    assert not warehouse_file(config.work_dir).exists()
    chain: list[BaseException | None] = [caught.value, caught.value.__cause__]
    said = " ".join([*map(repr, chain), *map(str, chain), caplog.text])
    assert not [line for line in secrets if line in said]


def test_no_file_of_a_night_has_the_key(
    make_config: Callable[..., NightlyConfig], team: Certified
) -> None:
    config = make_config()
    MadeNight(PAIRS).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    words = [line.encode() for line in secret_lines(team.key)] + [os.fsencode(team.key)]
    files = [path for path in config.work_dir.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if any(word in path.read_bytes() for word in words)] == []


def test_the_command_tells_signed_pictures_apart(
    make_config: Callable[..., NightlyConfig], team: Certified, tmp_path: Path, pigeon: Any
) -> None:
    config = make_config()
    MadeNight(PAIRS).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    file, *_ = served(config, tmp_path / "served")
    serving = serving_file(config.work_dir)
    ended = pigeon("verify", file, "--warehouse", serving, "--trusted", team.authority, "--json")
    assert ended.code == 0, ended.err
    [facts] = json.loads(ended.out)["pictures"]
    assert (facts["marking"], facts["signature"], facts["known"]) == ("c2pa", "trusted", True)
