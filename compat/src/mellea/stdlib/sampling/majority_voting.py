"""Many answers, and the one that is most like the others."""

from motet import MajorityVotingStrategyForMath as MajorityVotingStrategyForMath
from motet import MBRDRougeLStrategy as MBRDRougeLStrategy
from motet import VotingStrategy as BaseMBRDSampling

__all__ = ["BaseMBRDSampling", "MBRDRougeLStrategy", "MajorityVotingStrategyForMath"]
