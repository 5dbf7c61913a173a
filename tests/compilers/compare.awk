# compare.awk TABLE NEW: what the compilers make of the kernels now, against the table that is kept. A hot kernel that spills
# fails. With the same driver as the table's, so does a kernel that takes a tenth more time or loses a tenth of its waves.
# The last line: N passed, N failed, a chip being one.

function value(row, name,    fields) {
    split(row, fields, "\t")
    return name in column && fields[column[name]] != "-" ? fields[column[name]] : 0
}

function complain(what) {
    print $1 ": " $2 " (" $3 ") " what
    bad[$1] = 1
}

function compare(name, sign,    before, now) {
    before = value(old[key], name)
    now = value($0, name)
    if (sign * (now - before) > 0.1 * before) complain(sprintf("%s: %d, before %d", name, now, before))
}

BEGIN { FS = "\t" }
/^# / {
    if (FNR == NR) driver = $0
    else if ($0 != driver && !told++) {
        other = 1
        print "this is " substr($0, 3) ", the table is of " substr(driver, 3) ": only spills are looked at"
    }
    next
}
$1 == "chip" { if (FNR != NR) for (i = 1; i <= NF; i++) column[$i] = i; next }
FNR == NR { old[$1 FS $2 FS $3] = $0; next }
{
    key = $1 FS $2 FS $3
    chips[$1] = 1
    spilt = value($0, "spills") + value($0, "scratch")
    if (spilt > 0 && $2 ~ /^(mat|attention)/)
        complain(sprintf("spills: %d registers, %d bytes of scratch memory", value($0, "spills"), value($0, "scratch")))
    else if (!(key in old)) new++
    else if (spilt > value(old[key], "spills") + value(old[key], "scratch")) complain("spills, and did not before")
    else if (!other) {
        compare("cycles", 1)
        compare("throughput", 1)
        compare("instructions", 1)
        compare("waves", -1)
    }
    seen[key] = 1
}
END {
    for (key in old) {
        split(key, part, FS)
        if (part[1] in chips && !(key in seen)) gone++
    }
    if (new + gone) print new + 0 " kernels are not in the table, " gone + 0 " of it are not there: update it"
    for (chip in chips) if (chip in bad) failed++; else passed++
    print passed + 0 " passed, " failed + 0 " failed"
    exit failed > 0 || passed == 0
}
