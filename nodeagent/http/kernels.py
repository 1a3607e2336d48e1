"""A student's server asks about its own kernels."""

from nodeagent.http.handlers import AgentHandler
from nodeagent.kernels.table import asker_of
from nodeagent.kernels.view import own_kernels


class OwnKernelsHandler(AgentHandler):
    """Answers whoever knows the word in a server's table, which only its own user and root can
    read. So it needs no password, and works over any address of the agent and any namespace."""

    def get(self) -> None:
        """Drifted kernels of the asker; an unknown word gets the answer of one whose are alike."""
        word = self.request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        asker = asker_of(word)
        if asker is None:
            self.set_header("WWW-Authenticate", "Bearer")
            self.fail(
                401,
                "word-needed",
                "Only a Jupyter server is told, of its own kernels.",
                "Send the word of its table as Authorization: Bearer, or ask samepage-agent "
                "status as the operator.",
            )
            return
        status = self.agent.status
        if status is None:
            self.fail(503, "not-ready", "The first reading is under way.", "Ask again soon.")
            return
        sample = status.ksm.sample
        self.write(own_kernels(None if sample is None else sample.kernels, asker))
