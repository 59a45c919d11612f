"""Keystone or Glance in a directory, on a port of the loopback interface: `image_service.py keystone|glance DIR PORT KEYSTONE_PORT`."""

import os
import subprocess
import sys
from pathlib import Path

service, folder, port, identity = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
auth = f"http://127.0.0.1:{identity}"
venv = Path(sys.prefix)

KEYSTONE = f"""
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/keys
[fernet_receipts]
key_repository = {folder}/keys
[credential]
key_repository = {folder}/keys
"""
GLANCE = f"""
[DEFAULT]
enabled_backends = files:file
[database]
connection = sqlite:///{folder}/glance.db
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[paste_deploy]
flavor = keystone
config_file = {venv}/etc/glance/glance-api-paste.ini
[keystone_authtoken]
www_authenticate_uri = {auth}
auth_url = {auth}
auth_type = password
interface = public
username = admin
password = secret
project_name = admin
user_domain_id = default
project_domain_id = default
"""


def manage(*args):
    """One of the programs that set a service up."""
    program, *rest = args
    command = [venv / "bin" / program, "--config-file", config, *rest]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Limited:
    """The body of a question, which ends where its length says."""

    def __init__(self, raw, left):
        self.raw, self.left = raw, left

    def read(self, size=-1):
        size = self.left if size is None or size < 0 else min(size, self.left)
        data = self.raw.read(size) if size else b""
        if len(data) < size:
            raise OSError("the client has gone")
        self.left -= len(data)
        return data


config = folder / ("keystone.conf" if service == "keystone" else "glance-api.conf")
config.write_text(KEYSTONE if service == "keystone" else GLANCE)
if service == "keystone":
    (folder / "keys").mkdir()
    manage("keystone-manage", "db_sync")
    manage("keystone-manage", "fernet_setup", "--keystone-user", "root", "--keystone-group", "root")
    url = ["--bootstrap-public-url", f"{auth}/v3", "--bootstrap-region-id", "one"]
    manage("keystone-manage", "bootstrap", "--bootstrap-password", "secret", *url)
else:
    manage("glance-manage", "db_sync")

os.environ["OS_KEYSTONE_CONFIG_DIR"] = os.environ["OS_GLANCE_CONFIG_DIR"] = str(folder)
sys.argv = [service]
if service == "keystone":
    from keystone.wsgi.api import application
else:
    from glance.wsgi.api import application

from werkzeug.serving import make_server


def limited(environ, start):
    environ["wsgi.input"] = Limited(environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0))
    return application(environ, start)


make_server("127.0.0.1", port, limited, threaded=True).serve_forever()
