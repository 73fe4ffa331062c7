// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import DockerfileSyntax

extension LintReport {
    /// The warnings with their excerpts, as BuildKit's `result.txt`; empty when there are none.
    public var text: String { warnings.map { $0.text(in: source) }.joined() }

    /// What `check` prints: a summary, then the warnings. The failure is not in it.
    public var checkText: String {
        switch warnings.count + omitted {
        case 0: failure == nil ? "Check complete, no warnings found.\n" : ""
        case 1: "Check complete, 1 warning has been found!\n" + text
        case let count: "Check complete, \(count) warnings have been found!\n" + text + omittedText
        }
    }

    private var omittedText: String {
        omitted == 0 ? "" : "\n\(omitted) more are not shown.\n"
    }

    /// What is wrong as a whole, with an excerpt; nil when nothing is.
    public var failureText: String? {
        failure.map { $0.message + "\n" + excerpt(of: source, $0.lines) }
    }
}

extension LintWarning {
    /// The warning with an excerpt, preceded by an empty line.
    public func text(in source: SourceText) -> String {
        let page = rule.url.map { " - " + $0 } ?? ""
        return "\nWARNING: \(rule.name)\(page)\n\(message)\n" + excerpt(of: source, lines)
    }
}

/// Lines of an instruction that an excerpt shows, and bytes of a line.
private let mostLines = 200
private let mostBytes = 4096

/// The lines, marked, with one or two around them.
func excerpt(of source: SourceText, _ lines: ClosedRange<Int>?) -> String {
    // What follows the last newline counts as a line, as BuildKit has it.
    let count = source.lineCount + (source.bytes.last == UInt8(ascii: "\n") ? 1 : 0)
    guard let lines, lines.lowerBound >= 1, lines.lowerBound <= count else { return "" }
    let last = min(lines.upperBound, count, lines.lowerBound + mostLines - 1)
    let around = lines.count == 1 ? 2 : 1
    var text = "\(source.name):\(lines.lowerBound)\n--------------------\n"
    for number in max(1, lines.lowerBound - around)...min(count, last + around) {
        let digits = String(number)
        let padding = String(repeating: " ", count: max(0, 3 - digits.utf8.count))
        text += " \(padding)\(digits) | \(lines.contains(number) ? ">>>" : "   ") \(shown(source.line(number)))\n"
    }
    return text + "--------------------\n"
}

private func shown(_ line: String) -> String {
    guard line.utf8.count > mostBytes else { return line }
    return String(decoding: line.utf8.prefix(mostBytes), as: UTF8.self) + "…"
}

extension Outline {
    /// As BuildKit's `result.txt`: a table each, empty ones left out.
    public var text: String {
        var text = ""
        if name != nil || description != nil {
            var rows = [["TARGET:", name ?? "(default)"]]
            if let description { rows.append(["DESCRIPTION:", description]) }
            text += aligned(rows, gap: 1) + "\n"
        }
        if !arguments.isEmpty {
            let rows = arguments.map { [$0.name, $0.value, $0.description ?? ""] }
            text += aligned([["BUILD ARG", "VALUE", "DESCRIPTION"]] + rows, gap: 3) + "\n"
        }
        for (title, mounts) in [("SECRET", secrets), ("SSH", agents)] where !mounts.isEmpty {
            let rows = mounts.map { [$0.name, $0.isRequired ? "true" : ""] }
            text += aligned([[title, "REQUIRED"]] + rows, gap: 3) + "\n"
        }
        return text
    }
}

extension TargetList {
    /// As BuildKit's `result.txt`.
    public var text: String {
        let rows = targets.map { target in
            [
                [target.name, target.isDefault ? "(default)" : nil].compactMap { $0 }.joined(separator: " "),
                target.description ?? "",
            ]
        }
        return aligned([["TARGET", "DESCRIPTION"]] + rows, gap: 1)
    }
}

/// Rows as lines: each column but the last as wide as its widest cell and a gap.
private func aligned(_ rows: [[String]], gap: Int) -> String {
    var widths: [Int] = []
    for row in rows {
        for (column, cell) in row.dropLast().enumerated() {
            if column == widths.count { widths.append(0) }
            widths[column] = max(widths[column], cell.unicodeScalars.count + gap)
        }
    }
    return rows.map { row in
        let cells = row.dropLast().enumerated().map { column, cell in
            cell + String(repeating: " ", count: widths[column] - cell.unicodeScalars.count)
        }
        return cells.joined() + (row.last ?? "") + "\n"
    }.joined()
}
