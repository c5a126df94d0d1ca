#!/usr/bin/env bats
# Goal: -z sends less where a chunk shrinks, and a chunk as it is where it does not.
load ../lib/remote

@test "-z: less on the wire for what shrinks, no more for what does not" {
    server_start
    folders
    seq 3000000 >here/text
    local size
    size=$(stat -c %s here/text)
    copied "${via[@]}" -z here/text "$FAR:$THERE/text"
    same here/text there/text
    expect_under "bytes on the wire" "$(receipt .wire_bytes_sent)" $((size / 2))
    copied "${via[@]}" -z "$FAR:$THERE/text" here/back
    same here/text here/back
    expect_under "bytes on the wire" "$(receipt .wire_bytes_received)" $((size / 2))
    copied "${via[@]}" here/text "$FAR:$THERE/plain"
    [ "$(receipt .wire_bytes_sent)" -ge "$size" ]
    random_file here/noise 16M
    copied "${via[@]}" -z here/noise "$FAR:$THERE/noise"
    same here/noise there/noise
    expect_under "bytes on the wire" "$(receipt .wire_bytes_sent)" $((16 * MIB + MIB / 4))
}
