"""ACRN: the relation of each person to the whole picture. Source: arXiv:1807.10982; MMAction2 1.x acrn_head.py.

It costs 41 GFLOP for each box at 256x340 (SlowFast R50): ten boxes cost more than the backbone.
"""

import math

import torch
from torch import nn

from avalib.models.conv import ConvBN


class RelationHead(nn.Module):
    """Two convolutions over a person's features, concatenated with those of every cell of the picture.

    Parameters
    ----------
    channels : int
        C, of the maps and of the persons.
    """

    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvBN(2 * channels, channels, (1, 1, 1))
        self.conv2 = ConvBN(channels, channels, (1, 3, 3))
        for conv in (self.conv1.conv, self.conv2.conv):
            nn.init.normal_(conv.weight, 0.0, math.sqrt(2 / (conv.out_channels * math.prod(conv.kernel_size))))

    def forward(self, persons, maps, picture_index):
        """The relation maps of all boxes.

        Parameters
        ----------
        persons : Tensor
            (N,C,8,8) RoI features.
        maps : Tensor
            (B,C,H/16,W/16), the means over time of the pathways.
        picture_index : Tensor
            (N,) int64: which of the B pictures each box is in.

        Returns
        -------
        Tensor
            (N,C,H/16,W/16).
        """
        # each person as one vector, beside the features of every cell of its picture
        actors = persons.flatten(2).max(dim=2).values[:, :, None, None]  # (N,C,1,1)
        scenes = maps[picture_index]  # (N,C,H/16,W/16)
        pairs = torch.cat([actors.expand_as(scenes), scenes], dim=1)[:, :, None]  # (N,2C,1,H/16,W/16)
        return self.conv2(self.conv1(pairs))[:, :, 0]
