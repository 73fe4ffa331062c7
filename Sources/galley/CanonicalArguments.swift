// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Arguments as ArgumentParser wants them: global options behind the command's name, and `--flag=true` as Go programs
/// take it.
func canonicalArguments(_ arguments: [String]) -> [String] {
    var global: [String] = []
    var rest = arguments[...]
    while let word = rest.first, word.hasPrefix("-") {
        if word == "--root" || word == "--config" {
            global += rest.prefix(2)
            rest = rest.dropFirst(2)
        } else if word.hasPrefix("--root=") || word.hasPrefix("--config=") || word == "--debug" || word == "-D" {
            global.append(word)
            rest = rest.dropFirst()
        } else {
            break
        }
    }
    guard let command = rest.popFirst() else { return global }
    if command == "--version" || command == "-v" { return ["version", "--short"] }
    if command.hasPrefix("-") { return [command] + rest }
    let isRun = command == "run"
    // An argument list that captures the rest would capture this too.
    if isRun, asksForHelp(rest) { return ["help", command] }
    return [command] + global + plainFlags(rest, stopsAtPositional: isRun)
}

private func asksForHelp(_ arguments: ArraySlice<String>) -> Bool {
    var rest = arguments
    while let word = rest.popFirst(), word.hasPrefix("-"), word != "--" {
        if word == "--help" { return true }
        if runOptionsWithValue.contains(word) { rest = rest.dropFirst() }
    }
    return false
}

/// Options of `galley run` whose value is the next word.
private let runOptionsWithValue: Set<String> = [
    "--root", "--config", "-e", "--env", "--env-file", "-v", "--volume", "-w", "--workdir", "-u", "--user",
    "--entrypoint", "--network", "--net", "-h", "--hostname", "--pull", "--platform", "--name",
]

private func plainFlags(_ arguments: ArraySlice<String>, stopsAtPositional: Bool) -> [String] {
    let flags: Set<String> = [
        "--all", "--check", "--debug", "--deep", "--digests", "--explain", "--force", "--force-rm", "--human",
        "--interactive", "--load", "--no-cache", "--no-trunc", "--password-stdin", "--pull", "--push", "--quiet",
        "--rm",
        "--tty", "--verbose", "--verify-reproducible",
    ]
    var result: [String] = []
    var rest = arguments
    while let word = rest.popFirst() {
        if stopsAtPositional {
            if !word.hasPrefix("-") || word == "--" { return result + [word] + rest }
            if runOptionsWithValue.contains(word), let value = rest.popFirst() {
                result += [word, value]
                continue
            }
        } else if word == "--" {
            return result + [word] + rest
        }
        guard word.hasPrefix("--"), let equals = word.firstIndex(of: "="), flags.contains(String(word[..<equals]))
        else {
            result.append(word)
            continue
        }
        switch word[word.index(after: equals)...] {
        case "true", "1", "t", "T", "TRUE", "True": result.append(String(word[..<equals]))
        case "false", "0", "f", "F", "FALSE", "False": break
        default: result.append(word)
        }
    }
    return result
}
