# shellcheck shell=sh disable=SC2154
# Steps of a test run: one line each, counted. Sourced with $out set; POSIX sh.

passed=0
failed=0

# How many tests a log speaks of, as "passed failed": ctest's closing line, every "N passed, N failed"; else the step is one.
count_tests() {
    awk -v code="$2" '
        function number_before(word, from,    i) {
            for (i = from; i <= NF; i++) if ($i ~ word) return $(i - 1) + 0
            return 0
        }
        /tests? failed out of [0-9]+$/ { bad = number_before("^tests?$", 4); p += $NF - bad; f += bad; seen = 1 }
        /^([a-z0-9]+: )?[0-9]+ passed, [0-9]+ failed/ { p += number_before("^passed", 2); f += number_before("^failed", 2); seen = 1 }
        END {
            if (!seen && !code) p = 1
            if (code && !f) f = 1
            print p + 0, f + 0
        }' "$1"
}

# Messages of the validation layer and of the sanitizers fail a step, whatever its exit code.
has_reports() {
    grep -qE 'Validation (Error|Warning)|VUID-|SYNC-HAZARD|ERROR: [A-Za-z]+Sanitizer|runtime error: ' "$1"
}

# step NAME COMMAND...: prints one line; the output of a command that fails is shown.
step() {
    name=$1
    shift
    mkdir -p "$out/logs"
    log=$out/logs/$(printf %s "$name" | tr -c 'A-Za-z0-9.' _).log
    began=$(date +%s)
    ("$@") >"$log" 2>&1 </dev/null
    code=$?
    if [ $code -eq 0 ] && has_reports "$log"; then code=1; fi
    counts=$(count_tests "$log" "$code")
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
    seconds=$(($(date +%s) - began))
    if [ "${counts#* }" -eq 0 ]; then
        printf 'ok    %-32s %5d passed %6d s\n' "$name" "${counts% *}" $seconds
        return 0
    fi
    printf 'FAIL  %-32s %5d passed, %d failed %6d s (exit code %d)\n' "$name" "${counts% *}" "${counts#* }" $seconds $code
    grep -vE '^\[ *[0-9]+%\] (Generating|Building|Built)' "$log" | tail -n 200 | sed 's/^/      /'
    return 1
}

skip() { printf 'skip  %-32s %s\n' "$1" "$2"; }

# The closing line, and the exit code of the run.
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}
