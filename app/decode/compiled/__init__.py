"""The compiled decoders: a writer schema becomes a program, and the kernel (`app.native`) walks bytes by it.

    shapes       the types of a writer schema as a tree of nodes, with the class of each atom
    placeholder  how the unavailable placeholder looks in a record's bytes
    tables       a tree as the kernel reads it: integers in arrays
    envelopes    a program for changes of one table
    changes      the decoder of changes
    receipts     plain receipts as columns

What the kernel does not decode, of whatever reason, the reference does; so a program need not be able to do everything.
"""
