"""What an AWS Nitro Enclave measures of an image of some 2 GB: kernel and init of the small spec, and the large image twice."""
import hashlib
import json
import os
import subprocess

import data
import lkit
import machine

HASHED = 1 << 29  # bytes that SHA-384 alone is measured with
SPEC, APPLICATION = data.spec("enclave"), data.spec("enclave-application")
FROM = ["--quiet", "--offline", *lkit.LAYOUTS]


def sizes():
    """Bytes that are decoded or read, and bytes that are hashed: those of the application go into two registers."""
    first, second = (inspected(spec) for spec in (SPEC, APPLICATION))
    first = first["kernel"] + first["cmdline"] + first["initrd.img"]
    return first + second["initrd.img"], first + 2 * second["initrd.img"]


def inspected(spec):
    """Sizes of the artifacts of a spec by name."""
    told = json.loads(machine.run(lkit.PROGRAM, "inspect", "--json", "--cache", lkit.CACHE, *FROM, spec))
    return {artifact["name"]: artifact["size"] for artifact in told["artifacts"]}


def measured():
    """Seconds, peak anonymous memory and bytes written of `lkit measure`."""
    argv = [lkit.PROGRAM, "measure", "--cache", lkit.CACHE, *FROM, "--eif-application", APPLICATION, SPEC]
    start = machine.now()
    process = subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL)
    watch = machine.Watch(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = machine.now() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    watch.end()
    if process.returncode:
        raise RuntimeError(f"`lkit measure` ended with {process.returncode}")
    return seconds, watch.peak, usage.ru_oublock * 512


def sha384():
    """Bytes in a second that OpenSSL's SHA-384 takes, from memory that fits a cache."""
    chunk, digest = bytes(machine.BLOCK), hashlib.sha384()
    start = machine.now()
    for _ in range(HASHED // len(chunk)):
        digest.update(chunk)
    digest.digest()
    return HASHED / (machine.now() - start)
