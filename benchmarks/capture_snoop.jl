# The same program under SnoopCompile's inference snooping, the peer of `events`.
using SnoopCompileCore
@snoop_inference include(joinpath(pwd(), ARGS[1]))
