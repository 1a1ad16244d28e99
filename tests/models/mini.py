"""The smallest RenderNet that has every part."""

MINI = {
    "input_size": 8,
    "widths": {
        "filters_3d": (2, 2, 2),
        "blocks_3d": 1,
        "projection": 8,
        "blocks_2d": 1,
        "filters_2d": 8,
        "blocks_2d_late": 1,
        "filters_late": 4,
        "upsampling": ((4, 2), (4, 1), (4, 2), (4, 2), (4, 1)),
    },
}
