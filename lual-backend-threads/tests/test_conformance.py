from lual_conformance import check


def test_the_backend_keeps_the_contract():
    check("threads", level="smoke")  # `dev.py test` runs the level standard
