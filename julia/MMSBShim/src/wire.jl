# Buffers to frames. A frame: magic "MMSBWIRE", u32 version, u32 tables, u64 payload bytes; then
# for each table u16 id, u16 columns, u32 rows and for each column u16 index, u16 width,
# u32 zero, u64 bytes, the values, zeros up to 8. Little-endian throughout.

const MAGIC = b"MMSBWIRE"

function write_all(fd::Cint, bytes::Vector{UInt8})
    GC.@preserve bytes begin
        done = 0
        while done < length(bytes)
            n = ccall(:write, Cssize_t, (Cint, Ptr{UInt8}, Csize_t), fd,
                      pointer(bytes, done + 1), length(bytes) - done)
            if n < 0
                Base.Libc.errno() == Base.Libc.EINTR && continue
                return false     # the host has gone; nothing more can be said
            end
            done += n
        end
    end
    return true
end

padded(bytes::Int) = bytes + mod(-bytes, 8)
width_of(@nospecialize(values::Vector)) = Int(Base.elsize(typeof(values)))

# A column of any type is bytes here: a call for each type would be compiled anew wherever a package
# adds to what the call can reach.
function table_bytes(@nospecialize(t::Table))::Int
    bytes = 8
    for k in 1:nfields(t)
        values = getfield(t, k)::Vector
        bytes += 16 + padded(width_of(values) * rows(t)::Int)
    end
    return bytes
end

mutable struct FrameWriter
    bytes::Vector{UInt8}     # zeros, of the frame's size
    at::Int
end

function put_bytes!(w::FrameWriter, from::Ptr{UInt8}, n::Int)
    unsafe_copyto!(pointer(w.bytes, w.at + 1), from, n)
    w.at += n
    nothing
end

function put_number!(w::FrameWriter, x::T) where {T<:Union{UInt16,UInt32,UInt64}}
    held = Ref(htol(x))
    GC.@preserve held put_bytes!(w, Ptr{UInt8}(Base.unsafe_convert(Ptr{T}, held)), sizeof(T))
end

function put_table!(w::FrameWriter, @nospecialize(t::Table))
    n = rows(t)::Int
    put_number!(w, table_id(t)::UInt16)
    put_number!(w, UInt16(nfields(t)))
    put_number!(w, UInt32(n))
    for k in 1:nfields(t)
        values = getfield(t, k)::Vector
        width = width_of(values)
        put_number!(w, UInt16(k - 1))
        put_number!(w, UInt16(width))
        put_number!(w, UInt32(0))
        put_number!(w, UInt64(width * n))
        GC.@preserve values put_bytes!(w, ccall(:jl_array_ptr, Ptr{UInt8}, (Any,), values), width * n)
        w.at = padded(w.at)
    end
    nothing
end

# One frame of every table that has rows, or no bytes; the tables are empty afterwards.
function frame_bytes(tables::Tables)
    filled = filter!(t -> rows(t)::Int > 0, all_tables(tables))
    isempty(filled) && return UInt8[]
    payload = 0
    for t in filled
        payload += table_bytes(t)
    end
    w = FrameWriter(zeros(UInt8, 24 + payload), 0)
    GC.@preserve w put_bytes!(w, pointer(MAGIC.s), 8)
    put_number!(w, UInt32(WIRE_VERSION))
    put_number!(w, UInt32(length(filled)))
    put_number!(w, UInt64(payload))
    for t in filled
        put_table!(w, t)
        truncate!(t, 0)
    end
    return w.bytes
end

send!(fd::Cint, tables::Tables) = write_all(fd, frame_bytes(tables))
