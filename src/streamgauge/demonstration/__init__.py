"""``streamgauge demo``: a made-up day played into a real run, and what is found in it by asking."""
