"""The rules that a scheme is put together from: grid, canvas, views, tokens.

`grids` chooses rows and columns; `frames` lays the image on a canvas; `cutters` makes the views;
`layouts` writes the token sequence. Each is a small frozen record with one method, from integers
to integers; none knows the name of a scheme.
"""
