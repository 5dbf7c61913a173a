# compare.awk SPILLS TABLE NEW: what the compilers make of the kernels now, against the table that is kept. A hot kernel that
# spills fails, unless SPILLS has it. With the same driver as the table's, so does a kernel that spills more, takes a tenth
# more time or instructions, or loses a tenth of its waves. The last line: N passed, N failed, a chip being one.

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

function is_known(    i) {
    for (i = 1; i <= n_known; i++)
        if ($1 ~ chip_of[i] && $2 ~ kernel_of[i] && $3 ~ shape_of[i]) return i
    return 0
}

function spilt(row) { return value(row, "spills") + value(row, "scratch") }

BEGIN { FS = "\t" }
FNR == 1 { file++ }
file == 1 {
    if (/^#/) next
    chip_of[++n_known] = $1
    kernel_of[n_known] = $2
    shape_of[n_known] = $3
    next
}
/^# / {
    if (file == 2) driver = $0
    else if ($0 != driver && !other) {
        other = 1
        print "this is " substr($0, 3) ", the table is of " substr(driver, 3) ": only spills are looked at"
    }
    next
}
$1 == "chip" { for (i = 1; i <= NF; i++) column[$i] = i; next }
file == 2 { old[$1 FS $2 FS $3] = $0; next }
{
    key = $1 FS $2 FS $3
    chips[$1] = 1
    line = is_known()
    for (i = 1; i <= n_known; i++) if ($1 ~ chip_of[i]) asked[i] = 1
    if (spilt($0) && line) needed[line] = 1
    if ($2 ~ /_texels$/) complain("is a kernel for software devices")
    if (spilt($0) && !line && $2 ~ /^(mat|attention)/)
        complain(sprintf("spills: %d registers, %d bytes of scratch memory", value($0, "spills"), value($0, "scratch")))
    else if (!(key in old)) new++
    else if (spilt($0) > spilt(old[key]) && !(other && line))
        complain(sprintf("spills %d registers, before %d", value($0, "spills"), value(old[key], "spills")))
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
    if (new + gone) print new + 0 " kernels are not in the table, " gone + 0 " of it are not there"
    if (new + gone || length(bad)) print "if that is meant: sh tests/compilers/run.sh PROGRAM VENDOR update"
    for (i in asked)
        if (!(i in needed)) print "nothing spills any more of " chip_of[i] " " kernel_of[i] " " shape_of[i] ": take the line out"
    for (chip in chips) if (chip in bad) failed++; else passed++
    print passed + 0 " passed, " failed + 0 " failed"
    exit failed > 0 || passed == 0
}
