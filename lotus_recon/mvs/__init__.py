"""Dense multi-view stereo: the depth and normals of a view by comparing its photo with others.

``search`` finds planes per pixel; ``agreement`` and ``certainty`` tell how sure they are, once all views have some;
``complete`` fills in what photos do not decide.
"""
