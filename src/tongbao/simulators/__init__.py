"""The offline sandbox: each channel's own side of the wire, played from the channel's specification.

Rule: nothing here shares code with the clients; of ours only `tongbao.crypto` and `tongbao.transport` may be imported.
A simulator is a second witness: what it accepts and what it says has to come from the channel's documents. Where those
are silent or contradict each other the stricter reading is taken, and the module that takes it says so.
"""
