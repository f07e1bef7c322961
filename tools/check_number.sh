# Sourced by the other scripts: errors of one line, and numbers that variables hold.

die() {
    echo "error: $*" >&2
    exit 1
}

# check_number NAME VALUE LOWEST [HIGHEST]: end unless the value is a whole number within the limits. What is not a number
# never comes into an expression, where bash would evaluate it.
check_number() {
    local limits=${4:+" from $3 to $4"}
    [[ $2 =~ ^(0|[1-9][0-9]{0,17})$ ]] && (($2 >= $3)) && { [[ -z ${4:-} ]] || (($2 <= $4)); } ||
        die "$1=$2; expected a whole number${limits:-, $3 or more}"
}
