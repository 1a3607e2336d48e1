"""Which of the fitting GPUs: 0 to 100 points. Pure.

Quiet GPUs are packed, so that whole ones stay free for training; busy ones are avoided, and in an
exam all are filled evenly. Ties go to the lower node name and UUID: no order decides.
"""

from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.standing import Card


def memory_points(request: Request, card: Card, left: int, policy: Policy) -> float:
    """`left`: bytes free for newcomers after this one, 0 to the GPU's total."""
    spare = left * card.points_per_byte
    if request.work == "exam":
        return spare
    # No points for filling up a busy GPU: its load and clients alone speak.
    return 0.0 if card.busy else policy.weight_memory - spare


def user_points(request: Request, card: Card, policy: Policy) -> float:
    """A user's second notebook shares the first one's fate only."""
    own = request.user is not None and request.user in card.users
    return policy.weight_same_user if own else 0.0


def score(request: Request, card: Card, left: int, policy: Policy) -> float:
    """All points of a GPU that fits."""
    points = card.base_score + memory_points(request, card, left, policy)
    # Asked for every GPU of a fleet: the call is left out where it would add nothing.
    return points + user_points(request, card, policy) if request.user in card.users else points
