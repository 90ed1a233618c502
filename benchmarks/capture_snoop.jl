# The same program under SnoopCompile's tracking of inference, the peer of `events`. Without the tree
# that `@snoop_inference` makes of it at the end: where inferred code is recursive, its making has no
# end (SnoopCompileCore 3.1).
import SnoopCompileCore
SnoopCompileCore.start_tracking()
include(joinpath(pwd(), ARGS[1]))
SnoopCompileCore.stop_tracking()
