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

# A column of any type is bytes here: a call for each type would be compiled anew wherever a package
# adds to what the call can reach.
function put_column(io::IOBuffer, index::Int, @nospecialize(values::Vector))
    width = Int(Base.elsize(typeof(values)))
    bytes = width * length(values)
    write(io, htol(UInt16(index)), htol(UInt16(width)), htol(UInt32(0)), htol(UInt64(bytes)))
    GC.@preserve values unsafe_write(io, ccall(:jl_array_ptr, Ptr{UInt8}, (Any,), values), UInt(bytes))
    for _ in 1:mod(-bytes, 8)
        write(io, 0x00)
    end
end

function put_table(io::IOBuffer, @nospecialize(t::Table))
    write(io, htol(t.id), htol(UInt16(length(t.columns))), htol(UInt32(rows(t))))
    for (index, values) in enumerate(t.columns)
        put_column(io, index - 1, values)
    end
end

# One frame of every table that has rows, or no bytes; the tables are empty afterwards.
function frame_bytes(all_tables)
    io = IOBuffer()
    count = 0
    for t in all_tables
        rows(t) == 0 && continue
        put_table(io, t)
        clear!(t)
        count += 1
    end
    payload = take!(io)
    count == 0 && return payload
    write(io, MAGIC, htol(UInt32(WIRE_VERSION)), htol(UInt32(count)),
          htol(UInt64(length(payload))), payload)
    return take!(io)
end

send!(fd::Cint, all_tables) = write_all(fd, frame_bytes(all_tables))
