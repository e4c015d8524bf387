"""Sockets of processes: who listens, and whom they talk to."""

from __future__ import annotations

import contextlib
import ipaddress

import psutil

Sockets = dict[tuple[str, int], tuple[str, str]]  # address and port -> name of the process, and the address again


def sockets_below(process: psutil.Process) -> Sockets:
    """Process and address of every socket that listens, and of what every connection leads to, in a tree."""
    found: Sockets = {}
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                for socket in each.net_connections("inet"):
                    ends = socket.laddr if socket.status == psutil.CONN_LISTEN else socket.raddr
                    if ends:
                        address = ends.ip.removeprefix("::ffff:")  # IPv4 as IPv6 writes it
                        found[address, ends.port] = (each.name(), address)
    return found


def outside(sockets: Sockets) -> Sockets:
    """Those that are not on the loopback."""
    return {pair: where for pair, where in sockets.items() if not ipaddress.ip_address(where[1]).is_loopback}
