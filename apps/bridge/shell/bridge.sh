# shellcheck shell=sh
# Take part in a session of the bridge from any POSIX shell. Source it:
#
#     . apps/bridge/shell/bridge.sh
#     bridge_layer L0
#     bridge_case pass "the folder is there"
#     bridge_case fail "the port answers" 1.5 "nobody listens on 8080"
#     bridge_offer
#
# FLOWCONTROL_ENV (dev) and FLOWCONTROL_DATA (data in the project) name the session, FLOWCONTROL_HOME (here) is the
# project's folder, FLOWCONTROL_PYTHON its Python. The format of what is written: docs/reference/bridge.md.
#
# A result costs no process: it is one line, added by the shell itself to a file of this process. When bridge_case has
# answered 0 the line is whole, and no kill takes it back; any other answer means that there is no result.

BRIDGE__TAB='	'
BRIDGE__NEWLINE='
'

# bridge_layer LAYER: begin a layer; the one before ends. Its name goes to the scripts that this one starts.
bridge_layer() {
    bridge__find || return 1
    bridge__manage layer "$1" || return $?
    bridge__read_pointer || return 1
    BRIDGE_HOME=$BRIDGE__HOME BRIDGE_SESSION=$BRIDGE__SESSION BRIDGE_LAYER=$BRIDGE__LAYER
    export BRIDGE_HOME BRIDGE_SESSION BRIDGE_LAYER
}

# bridge_offer: end the running layer and offer the results to the application.
bridge_offer() {
    bridge__find || return 1
    bridge__manage offer "$@"
}

# bridge_case pass|fail|skip TITLE [SECONDS] [MESSAGE]: record one result.
bridge_case() {
    case ${1-} in
    pass | fail | skip) ;;
    *) bridge__say "the result is pass, fail or skip, not '${1-}'"; return 2 ;;
    esac
    case ${2-} in
    '') bridge__say "a result needs a title"; return 2 ;;
    esac
    case ${3-} in
    *[!0-9.]* | *.*.* | .) bridge__say "'$3' is no number of seconds"; return 2 ;;
    esac
    bridge__find || return 1
    if [ "${BRIDGE_HOME-}" = "$BRIDGE__HOME" ]; then
        BRIDGE__SESSION=$BRIDGE_SESSION BRIDGE__LAYER=$BRIDGE_LAYER
    else
        bridge__read_pointer || return 1
    fi
    case $BRIDGE__LAYER in
    -) bridge__say "no layer is running; begin one: bridge_layer L0"; return 1 ;;
    esac
    bridge__open || return 1
    bridge__escape "$0"
    BRIDGE__SOURCE=$BRIDGE__TEXT
    bridge__escape "$2"
    BRIDGE__TITLE=$BRIDGE__TEXT
    bridge__escape "${4-}"
    # The parts are cut so that a line has less than 4,096 bytes: the shell writes it in one go. The newline in front
    # ends a line that a killed subshell has left half written.
    bridge__in_bytes
    BRIDGE__STATUS=0
    # shellcheck disable=SC2059
    printf "$BRIDGE__FORMAT" "$BRIDGE__SESSION" "$BRIDGE__LAYER" "$1" "${3-}" \
        "$BRIDGE__SOURCE" "$BRIDGE__TITLE" "$BRIDGE__TEXT" 2>/dev/null >>"$BRIDGE__FILE" || BRIDGE__STATUS=1
    bridge__as_before
    if [ "$BRIDGE__STATUS" -ne 0 ]; then
        bridge__say "the result could not be written to $BRIDGE__FILE: $2"
        BRIDGE__FILE_OF=
        return 1
    fi
}

BRIDGE__FORMAT='\n1\t%.64s\t%.8s\t%s\t%.32s\t%.255s\t%.1000s\t%.2600s\t.\n'

# --- what the functions above share ---------------------------------------------------------------

bridge__say() { printf 'bridge: %s\n' "$1" >&2; }

# Where the session is looked for.
bridge__find() {
    BRIDGE__DATA=${FLOWCONTROL_DATA:-${FLOWCONTROL_HOME:-.}/data}
    BRIDGE__HOME=$BRIDGE__DATA:${FLOWCONTROL_ENV:-dev}
}

bridge__manage() {
    BRIDGE__PROJECT=${FLOWCONTROL_HOME:-.}
    BRIDGE__VERB=$1
    shift
    FLOWCONTROL_DATA=$BRIDGE__DATA "${FLOWCONTROL_PYTHON:-$BRIDGE__PROJECT/.venv/bin/python}" \
        "$BRIDGE__PROJECT/manage.py" bridge "$BRIDGE__VERB" "$@" --env "${FLOWCONTROL_ENV:-dev}" >/dev/null
}

# The session and the layer that are active now, from a file that is always whole.
bridge__read_pointer() {
    BRIDGE__POINTER=$BRIDGE__DATA/bridge/now.${FLOWCONTROL_ENV:-dev}
    if [ ! -r "$BRIDGE__POINTER" ]; then
        bridge__say "no session of ${FLOWCONTROL_ENV:-dev} is active in $BRIDGE__DATA; open one: manage.py bridge init"
        return 1
    fi
    read -r BRIDGE__SESSION BRIDGE__LAYER <"$BRIDGE__POINTER"
}

# A spool file that is this process's own: its number may have been another's before, so the name is taken exclusively.
bridge__open() {
    [ "${BRIDGE__FILE_OF-}" = "$$ $BRIDGE__DATA $BRIDGE__SESSION" ] && return 0
    if [ ! -d "$BRIDGE__DATA/bridge/spool" ]; then
        bridge__say "$BRIDGE__DATA/bridge/spool is not there: no session was opened in this data folder"
        return 1
    fi
    BRIDGE__COUNT=0
    while BRIDGE__FILE=$BRIDGE__DATA/bridge/spool/$BRIDGE__SESSION.$$.$BRIDGE__COUNT; do
        if [ ! -e "$BRIDGE__FILE" ] && bridge__take; then
            BRIDGE__FILE_OF="$$ $BRIDGE__DATA $BRIDGE__SESSION"
            return 0
        fi
        BRIDGE__COUNT=$((BRIDGE__COUNT + 1))
        if [ "$BRIDGE__COUNT" -gt 10000 ]; then
            bridge__say "no file can be made in $BRIDGE__DATA/bridge/spool"
            return 1
        fi
    done
}

bridge__take() {
    case $- in
    *C*) true 2>/dev/null >"$BRIDGE__FILE" ;;
    *)
        set -C
        BRIDGE__STATUS=0
        true 2>/dev/null >"$BRIDGE__FILE" || BRIDGE__STATUS=1
        set +C
        return "$BRIDGE__STATUS"
        ;;
    esac
}

# BRIDGE__TEXT becomes $1 with backslash, tab and newline written as \\, \t and \n. Never evaluated.
bridge__escape() {
    BRIDGE__TEXT=
    BRIDGE__REST=$1
    while :; do
        case $BRIDGE__REST in
        *\\* | *"$BRIDGE__TAB"* | *"$BRIDGE__NEWLINE"*) ;;
        *)
            BRIDGE__TEXT=$BRIDGE__TEXT$BRIDGE__REST
            return 0
            ;;
        esac
        BRIDGE__HEAD=${BRIDGE__REST%%[\\"$BRIDGE__TAB$BRIDGE__NEWLINE"]*}
        BRIDGE__REST=${BRIDGE__REST#"$BRIDGE__HEAD"}
        case $BRIDGE__REST in
        \\*) BRIDGE__TEXT=$BRIDGE__TEXT$BRIDGE__HEAD\\\\ ;;
        "$BRIDGE__TAB"*) BRIDGE__TEXT=$BRIDGE__TEXT$BRIDGE__HEAD'\t' ;;
        *) BRIDGE__TEXT=$BRIDGE__TEXT$BRIDGE__HEAD'\n' ;;
        esac
        BRIDGE__REST=${BRIDGE__REST#?}
    done
}

# printf counts characters where the locale has some; a line is measured in bytes.
bridge__in_bytes() {
    BRIDGE__LOCALE=${LC_ALL-.unset}
    LC_ALL=C
}

bridge__as_before() {
    if [ "$BRIDGE__LOCALE" = .unset ]; then unset LC_ALL; else LC_ALL=$BRIDGE__LOCALE; fi
}
