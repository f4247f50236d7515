
# Repositories and tags, as the registry tells them.
_larder_told() {
    _larder "$@"
    local line="${COMP_LINE:0:COMP_POINT}" word colon="" found
    word="${line##*[[:space:]]}"
    case "$word" in
        -*) return ;;
        # Bash completes what follows the last colon.
        *:*) case "$COMP_WORDBREAKS" in *:*) colon="${word%"${word##*:}"}" ;; esac ;;
    esac
    while IFS= read -r found; do
        COMPREPLY+=("${found#"$colon"}")
    done < <(larder complete "$line" 2>/dev/null)
}
complete -F _larder_told -o nosort -o bashdefault -o default larder
