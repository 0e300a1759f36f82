"""A mail server on loopback: server.py PORT USER PASSWORD. Mails become files in the folder `mails`."""

import os
import signal
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Keeper:
    number = 0

    async def handle_DATA(self, server, session, envelope):
        # Without TLS or a login nothing comes this far.
        assert session.ssl is not None and session.authenticated
        Keeper.number += 1
        name = f"mails/{Keeper.number:04}"
        with open(name, "wb") as file:
            file.write(envelope.original_content)
        # A reader sees whole files only.
        os.rename(name, name + ".eml")
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    is_right = data.login == user.encode() and data.password == password.encode()
    return AuthResult(success=is_right, handled=False)


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("certificate.pem", "key.pem")
controller = Controller(
    Keeper(),
    hostname="127.0.0.1",
    port=port,
    tls_context=tls,
    require_starttls=True,
    auth_required=True,
    authenticator=authenticate,
)
controller.start()
ended = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: ended.set())
ended.wait()
controller.stop()
