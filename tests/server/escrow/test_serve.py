"""Shows a real escrow: under a real key server, killed in the middle, over states that are not its own."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sealcast.core.errors import UsageError
from sealcast.core.secret import Secret
from sealcast.device.csr import make_csr
from sealcast.device.token import TokenPlace
from sealcast.keys.rsakem import PUBLIC_EXPONENT
from sealcast.messages import jose, operations
from sealcast.messages import operations_escrow as at_escrow
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import EscrowKeyRow, KeyDocument
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from sealcast.messages.operations_identifying import DEVICE_IDENTIFY
from sealcast.server.escrow.open_escrow import open_escrow
from sealcast.server.escrow.serve import serve_escrow
from sealcast.server.escrow.settings import EscrowSettings, TokenSettings
from sealcast.server.escrow.state import create_escrow_state
from sealcast.server.run import serve_keyserver
from sealcast.server.serving import Reloads
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import load_server_state
from sealcast.transport.system import SystemClock, SystemRandom
from server.escrow.inside import EURO, PACKAGE, Market, Party, escrow_template
from server.inprocess import template
from server.running import RANDOM, Caller, client, free_port, running

PROGRAM = Path(__file__).with_name("serve.py")


def side_of(operator: Caller, party: Party) -> Caller:
    """Return a party's side of the server that an operator asks."""
    changed = {"role": party.role, "id": party.id, "signing": party.signing, "kek": party.kek}
    credential = msgspec.structs.replace(operator.credential, certificates=party.certificates, **changed)
    return Caller(credential, operator.url, operator.session, operator.tls, escrow=operator.escrow)


def blinded(key: EscrowKeyRow) -> tuple[bytes, bytes]:
    """Return m and c', as long as a key."""
    modulus = int.from_bytes(decode(jose.unverified_payload(key.document), KeyDocument).modulus, "big")
    number = 2 + RANDOM.below(modulus - 3)
    return number.to_bytes(384, "big"), pow(number, PUBLIC_EXPONENT, modulus).to_bytes(384, "big")


@contextlib.asynccontextmanager
async def program(folder: Path, port: int, crl: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an escrow in a process of its own; it listens when this gives it out."""
    arguments = (sys.executable, str(PROGRAM), str(folder), str(port), str(crl))
    child = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), 60)
        assert line.startswith(b"https://"), line
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def set_up(operator: Caller, seller: Party, buyer: Party) -> EscrowKeyRow:
    """Have a seller and a buyer join, the one with a key, the other with money; return the key."""
    for party in (seller, buyer):
        await side_of(operator, party).must(at_escrow.ESCROW_JOIN, certificates=party.certificates)
    await operator.must(at_escrow.SELLER_ADMIT, seller=seller.id, fee_per_mille=100)
    money = {"amount_micro": 100 * EURO, "currency": "EUR", "reference": "bank-1"}
    await operator.must(at_escrow.DEPOSIT, buyer=buyer.id, **money)
    terms = {"price_class": "film", "price_micro": 5 * EURO, "currency": "EUR"}
    answer = await side_of(operator, seller).must(at_escrow.ESCROW_KEY_ADD, **terms)
    (row,) = answer.keys
    assert isinstance(row, EscrowKeyRow)
    return row


def test_a_killed_escrow_has_what_it_acknowledged(tmp_path: Path) -> None:
    """After kill -9 an opening that was answered is on record, and one that was under way is opened, once."""

    async def story() -> None:
        market = Market(wall_ns=SystemClock().wall_ns())
        folder, port = tmp_path / "lead", free_port()
        shutil.copytree(escrow_template("lead"), folder)
        seller, buyer = market.party("ACME", "seller"), market.party("TV-1")
        url = f"https://127.0.0.1:{port}"

        async def ask(device: Caller, order: str, given: bytes) -> Any:
            fields = {"key": key.key, "certificate": buyer.certificates.signing}
            return await device.ask(at_escrow.ORDER_OPEN, order=order, blinded=given, **fields)

        async def pay(device: Caller) -> str:
            (order,) = (await device.must(at_escrow.ORDER_PLACE, key=key.key, package=PACKAGE)).orders
            await device.must(at_escrow.ORDER_PAY, order=order.order)
            return str(order.order)

        async with client(market.credential, url) as operator:
            operator.escrow = "lead"
            device = side_of(operator, buyer)
            async with program(folder, port, market.crl) as escrow:
                key = await set_up(operator, seller, buyer)
                first, second = await pay(device), await pay(device)
                numbers = [blinded(key) for _ in range(2)]
                answered = await ask(device, first, numbers[0][1])
                assert answered.answer.opened == numbers[0][0]
                under_way = asyncio.create_task(ask(device, second, numbers[1][1]))
                await asyncio.sleep(0.003)
                escrow.kill()
                await asyncio.gather(under_way, return_exceptions=True)
            async with program(folder, port, market.crl) as escrow:
                device.nonce = operator.nonce = ""
                (row,) = (await device.must(at_escrow.ORDER_SHOW, order=first)).orders
                assert row.state == "issued"
                for order, (number, given) in zip((first, second), numbers, strict=True):
                    assert (await ask(device, order, given)).answer.opened == number
                await device.must(at_escrow.ORDER_CONFIRM, order=first)
                own = (await operator.must(at_escrow.BALANCE)).balances
                theirs = (await side_of(operator, seller).must(at_escrow.BALANCE)).balances
                escrow.terminate()
                assert await escrow.wait() == 0
        assert [row.balance_micro for row in theirs] == [4_500_000]
        assert {row.account: abs(row.balance_micro) for row in own}["escrow:fee"] == 500_000
        market.close()

    asyncio.run(story())


def test_a_key_server_tells_who_was_revoked(tmp_path: Path) -> None:
    """A device that the key server certifies and identifies joins; revoked there, it is out here."""

    async def story() -> None:
        async with running(tmp_path / "keys") as keys:
            signing, kek = new_signing_pair(RANDOM), new_sealing_pair(RANDOM)
            device = keys.newcomer(signing, kek).renamed("TV-1")
            csr = {"csr": make_csr(signing), "kek": kek.public()}
            await keys.operator.must(operations.CERTIFICATE_ISSUE, id="TV-1", role="device", **csr)
            await keys.operator.must(DEVICE_IDENTIFY, device="TV-1", evidence="passport, seen at the counter")
            renewed = await device.must(operations.CERTIFICATE_RENEW)
            folder, port = tmp_path / "escrow", free_port()
            create_escrow_state(
                folder,
                tmp_path / "keys",
                id="lead",
                hosts=("127.0.0.1",),
                urls=(f"https://127.0.0.1:{port}",),
                random=RANDOM,
                wall_ns=SystemClock().wall_ns(),
            )
            settings = EscrowSettings(folder, "127.0.0.1", port, key_servers=(keys.url,), crl_every_s=0.3)
            listening, stop, reloads = asyncio.Event(), asyncio.Event(), Reloads(lambda: settings)
            serving = asyncio.create_task(
                serve_escrow(
                    settings,
                    clock=SystemClock(),
                    random=SystemRandom(),
                    ready=lambda _: listening.set(),
                    stop=stop,
                    reloads=reloads,
                )
            )
            await listening.wait()
            url = f"https://127.0.0.1:{port}"
            here = Caller(device.credential, url, device.session, device.tls, escrow="lead")
            await here.must(at_escrow.ESCROW_JOIN, certificates=renewed.certificates)
            assert (await here.must(at_escrow.ORDER_LIST)).orders == []
            await keys.operator.must(operations.CERTIFICATE_REVOKE, id="TV-1", reason="keyCompromise")
            for _ in range(400):
                reply = await here.ask(at_escrow.ORDER_LIST)
                if reply.status != 200:
                    break
                await asyncio.sleep(0.05)
            assert reply.problem == "certificate-revoked"
            stop.set()
            await serving

    asyncio.run(story())


def test_an_escrow_has_a_state_of_its_own(tmp_path: Path) -> None:
    """Nothing is written over; ids that are none and other states are refused before anything is made."""
    made, _ = template()
    escrow = escrow_template("lead")

    def create(directory: Path, key_server: Path = made, name: str = "trust") -> None:
        create_escrow_state(
            directory,
            key_server,
            id=name,
            hosts=(),
            urls=("https://127.0.0.1:8446",),
            random=RANDOM,
            wall_ns=SystemClock().wall_ns(),
        )

    for name in ("", "two words", "operator", "x" * 65):
        with pytest.raises(UsageError, match="id"):
            create(tmp_path / "new", name=name)
    with pytest.raises(UsageError, match="is not a key server's"):
        create(tmp_path / "new", key_server=escrow)
    assert not (tmp_path / "new").exists()
    create(tmp_path / "new")
    with pytest.raises(UsageError, match="never overwritten"):
        create(tmp_path / "new")


def test_servers_start_over_their_own_states_alone(tmp_path: Path) -> None:
    """An escrow refuses a key server's state and the other way round, each naming the command that fits."""

    async def story() -> None:
        made, _ = template()
        escrow = escrow_template("lead")
        clock, random = SystemClock(), SystemRandom()
        with pytest.raises(UsageError, match="serve keyserver"):
            await serve_escrow(EscrowSettings(made, "127.0.0.1", free_port()), clock=clock, random=random)
        with pytest.raises(UsageError, match="serve escrow"):
            await serve_keyserver(
                KeyserverSettings(escrow, "127.0.0.1", free_port()), clock=clock, random=random
            )
        held = EscrowSettings(
            escrow,
            "127.0.0.1",
            8446,
            database=tmp_path / "escrow.sqlite",
            token=TokenSettings(TokenPlace(module="/nowhere.so", serial="", label="x"), Secret(b"1234")),
        )
        with pytest.raises(UsageError, match="not a PKCS#11 module"):
            open_escrow(load_server_state(escrow), held, clock, random)

    asyncio.run(story())
