"""The applications that are registered in the sandbox, and all keys: theirs, Alipay's, and a stranger's for forgeries.

Keys are made once and kept; a key is parsed once per process.
"""

import base64

from tongbao.crypto import RsaPrivateKey, RsaPublicKey
from tongbao.simulators.alipay.model import App
from tongbao.simulators.bank import Bank
from tongbao.simulators.journal import Shelf

KEY_APP_ID = "9021000100000001"
KEY_SELLER_ID = "2088721000000011"
CERT_APP_ID = "9021000100000002"
CERT_SELLER_ID = "2088721000000029"


class Apps:
    """The console's side: who may call, and with which key."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._shelf = Shelf(bank.journal, "alipay_app", App)
        self._public: dict[str, RsaPublicKey] = {}
        self.alipay_key = bank.key("alipay")
        self._stranger: RsaPrivateKey | None = None
        if KEY_APP_ID not in self._shelf:
            self.add(KEY_APP_ID, KEY_SELLER_ID, "seller@sandbox.example", "通宝沙箱商户")
        if CERT_APP_ID not in self._shelf:
            self.add(CERT_APP_ID, CERT_SELLER_ID, "certified@sandbox.example", "通宝沙箱证书商户", "cert")

    def add(self, app_id: str, seller_id: str, email: str, name: str, mode: str = "key") -> App:
        """Registers an application; its private key is made here and handed out by `private_key`."""
        public = self._bank.key(f"alipay_app_{app_id}").public().bare()
        aes_key = base64.b64encode(self._bank.chance(128).to_bytes(16, "big")).decode()
        return self._shelf.put(app_id, App(app_id, seller_id, email, name, public, mode, aes_key=aes_key))

    def get(self, app_id: str) -> App | None:
        return self._shelf.get(app_id)

    def put(self, app: App) -> None:
        self._shelf.put(app.app_id, app)
        self._public.pop(app.app_id, None)

    def all(self) -> list[App]:
        return self._shelf.values()

    def seller(self, seller_id: str) -> App | None:
        return next((app for app in self.all() if app.seller_id == seller_id), None)

    def private_key(self, app_id: str) -> RsaPrivateKey:
        return self._bank.key(f"alipay_app_{app_id}")

    def public_key(self, app: App) -> RsaPublicKey:
        """The key that this application's requests are verified with."""
        key = self._public.get(app.app_id)
        if key is None:
            key = self._public[app.app_id] = RsaPublicKey.load(app.public_key)
        return key

    @property
    def stranger_key(self) -> RsaPrivateKey:
        """A key that nobody trusts."""
        if self._stranger is None:
            self._stranger = self._bank.key("stranger")
        return self._stranger
