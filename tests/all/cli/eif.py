"""Reads an EIF as AWS's `nitro-cli describe-eif` does, and prints what it holds as JSON: an independent judge of ours."""

import base64
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import zlib


def cbor(data, at=0):
    """One item at an offset: its value, and the offset behind it."""
    major, code = data[at] >> 5, data[at] & 31
    at += 1
    if code >= 24:
        width = 1 << (code - 24)
        value = int.from_bytes(data[at : at + width], "big")
        at += width
    else:
        value = code
    if major == 0:
        return value, at
    if major == 1:
        return -1 - value, at
    if major in (2, 3):
        text = data[at : at + value]
        assert len(text) == value
        return text if major == 2 else text.decode(), at + value
    items = []
    for _ in range(value * (2 if major == 5 else 1)):
        item, at = cbor(data, at)
        items.append(item)
    return dict(zip(items[::2], items[1::2])) if major == 5 else items, at


def der(tag, content):
    return bytes([tag, len(content)]) + content


def number(raw):
    raw = raw.lstrip(b"\0") or b"\0"
    return der(2, b"\0" + raw if raw[0] & 0x80 else raw)


def string(raw):
    """A byte string in CBOR."""
    return (bytes([0x40 | len(raw)]) if len(raw) < 24 else b"\x58" + bytes([len(raw)])) + raw


def verify(section, pcr0):
    """Checks the signature with openssl; returns the certificate as DER."""
    (entry,), end = cbor(section)
    assert end == len(section)
    pem, message = bytes(entry["signing_certificate"]), bytes(entry["signature"])
    (protected, unprotected, payload, signature), end = cbor(message)
    assert end == len(message) and unprotected == {} and cbor(protected)[0] == {1: -35}
    info = cbor(payload)[0]
    assert info == {"register_index": 0, "register_value": list(pcr0)}
    # The payload is longer than 255 bytes at times, whose length takes two bytes.
    length = b"\x58" + bytes([len(payload)]) if len(payload) < 256 else b"\x59" + struct.pack(">H", len(payload))
    signed = b"\x84" + b"\x6aSignature1" + string(protected) + b"\x40" + length + payload
    pair = number(signature[:48]) + number(signature[48:])
    with tempfile.TemporaryDirectory() as place:
        for name, content in (("pem", pem), ("signed", signed), ("signature", der(0x30, pair))):
            with open(f"{place}/{name}", "wb") as file:
                file.write(content)
        key = subprocess.run(["openssl", "x509", "-in", f"{place}/pem", "-pubkey", "-noout"], check=True, capture_output=True)
        with open(f"{place}/key", "wb") as file:
            file.write(key.stdout)
        command = ["openssl", "dgst", "-sha384", "-verify", f"{place}/key", "-signature", f"{place}/signature"]
        subprocess.run([*command, f"{place}/signed"], check=True, capture_output=True)
    return base64.b64decode(pem.split(b"-----")[2])


def pcr(*parts):
    return hashlib.sha384(bytes(48) + hashlib.sha384(b"".join(parts)).digest()).digest()


image = open(sys.argv[1], "rb").read()
magic, version, flags, memory, processors, reserved, count = struct.unpack(">4sHHQQHH", image[:28])
offsets, sizes = struct.unpack(">32Q", image[28:284]), struct.unpack(">32Q", image[284:540])
unused, crc = struct.unpack(">II", image[540:548])
assert (magic, version, reserved, unused) == (b".eif", 4, 0, 0)
assert crc == zlib.crc32(image[548:], zlib.crc32(image[:544])), "checksum"
at, sections = 548, []
for number_of in range(count):
    assert offsets[number_of] == at
    kind, section_flags, size = struct.unpack(">HHQ", image[at : at + 12])
    assert section_flags == 0 and sizes[number_of] == size
    sections.append((kind, image[at + 12 : at + 12 + size]))
    at += 12 + size
assert at == len(image) and not any(offsets[count:]) and not any(sizes[count:])
of = lambda kind: [content for found, content in sections if found == kind]
(kernel,), (cmdline,), (metadata,), ramdisks = of(1), of(2), of(5), of(3)
registers = {"PCR0": pcr(kernel, cmdline, *ramdisks), "PCR1": pcr(kernel, cmdline, ramdisks[0]), "PCR2": pcr(*ramdisks[1:])}
if of(4):
    registers["PCR8"] = pcr(verify(of(4)[0], registers["PCR0"]))
told = {
    "arm64": bool(flags & 1),
    "memory": memory,
    "processors": processors,
    "kinds": [kind for kind, _ in sections],
    "digests": [hashlib.sha256(content).hexdigest() for _, content in sections],
    "metadata": json.loads(metadata),
    "registers": {name: value.hex() for name, value in registers.items()},
}
if len(sys.argv) > 2:
    with open(sys.argv[2], "wb") as file:
        file.write(ramdisks[-1])
print(json.dumps(told))
