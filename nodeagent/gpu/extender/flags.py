"""The flags of `samepage-agent gpu extender`, apart: other commands load no server for them."""

import argparse

_LISTEN = "127.0.0.1:9748"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `gpu extender`."""
    parser.add_argument("--listen", default=_LISTEN, metavar="HOST:PORT", help=f"({_LISTEN})")
    parser.add_argument("--agents", metavar="URLS", help="agents to ask, with commas")
    parser.add_argument("--token-file", metavar="FILE", help="operator's token of the agents")
    parser.add_argument("--published", choices=("lease", "node"), help="read what nodes publish")
    parser.add_argument("--namespace", metavar="NAME", help="of the Leases (the pod's own)")
    parser.add_argument("--round", default="5", metavar="S", help="between rounds of facts (5)")
    parser.add_argument("--gpu-policy", metavar="FILE", help="bounds of decisions (their defaults)")
    parser.add_argument("--log-format", default="text", choices=("text", "json"))
