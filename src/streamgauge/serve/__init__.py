"""The read side: everything that is seen is read from the store, over HTTP."""
