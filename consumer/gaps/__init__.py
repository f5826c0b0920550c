"""Gap events: plan what to do about changes that came without data, and read the data over REST."""
