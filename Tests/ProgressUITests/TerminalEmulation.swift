// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

@testable import ProgressUI

/// A terminal that understands what the display sends and records an issue for anything else.
///
/// A resize wraps the lines anew and keeps the cursor on its line, as today's terminals do.
struct TerminalEmulation {
    private struct Row {
        var cells: [Character] = []
        /// The line goes on in the next row.
        var isWrapped = false
    }

    private(set) var columns: Int
    private(set) var rows: Int
    private var lines = [Row()]
    /// The first row on the screen; those above are the scrollback.
    private var top = 0
    private var row = 0
    private var column = 0
    private var wraps = true
    private(set) var isCursorVisible = true
    private(set) var unknown: [String] = []
    private(set) var clampedMoves = 0

    init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }

    /// Scrollback and screen without trailing blanks and empty rows at the end.
    var text: [String] {
        var text = lines.map(Self.trimmed)
        while text.last == "" { text.removeLast() }
        return text
    }
    var scrollback: Int { top }
    var cursorRow: Int { row }

    mutating func feed(_ bytes: [UInt8]) { feed(String(decoding: bytes, as: UTF8.self)) }

    mutating func feed(_ text: String) {
        var rest = Array(text)[...]
        while let character = rest.popFirst() {
            switch character {
            case "\r": column = 0
            case "\n": lineFeed()
            case "\r\n":
                column = 0
                lineFeed()
            case "\u{1B}": escape(&rest)
            default: put(character)
            }
        }
    }

    mutating func resize(columns newColumns: Int, rows newRows: Int) {
        var logical: [[Character]] = [[]]
        var cursorLine = 0
        for (index, line) in lines.enumerated() {
            if index == row { cursorLine = logical.count - 1 }
            logical[logical.count - 1] += line.cells
            if !line.isWrapped, index < lines.count - 1 { logical.append([]) }
        }
        columns = newColumns
        rows = newRows
        lines = []
        for (index, cells) in logical.enumerated() {
            if index == cursorLine { row = lines.count }
            var rest = cells[...]
            repeat {
                lines.append(Row(cells: Array(rest.prefix(columns)), isWrapped: rest.count > columns))
                rest = rest.dropFirst(columns)
            } while !rest.isEmpty
        }
        column = 0
        // Rows go from the bottom up to the cursor, then from the top.
        top = max(0, min(row, lines.count - rows))
        lines = Array(lines.prefix(top + rows))
    }

    private mutating func lineFeed() {
        row += 1
        if row == lines.count { lines.append(Row()) }
        top = max(top, row - rows + 1)
    }

    private mutating func put(_ character: Character) {
        let width = character.displayWidth
        guard width > 0 else { return }
        if column + width > columns {
            if wraps {
                lines[row].isWrapped = true
                lineFeed()
                column = 0
            } else {
                column = max(0, columns - width)
            }
        }
        while lines[row].cells.count < column + width { lines[row].cells.append(" ") }
        lines[row].cells[column] = character
        // The second half of a wide character holds nothing.
        if width == 2 { lines[row].cells[column + 1] = "\0" }
        column += width
    }

    private mutating func escape(_ rest: inout ArraySlice<Character>) {
        var sequence = ""
        guard rest.popFirst() == "[" else {
            unknown.append("not CSI")
            return
        }
        while let character = rest.popFirst() {
            sequence.append(character)
            if character.isLetter { break }
        }
        switch sequence {
        case "K": lines[row].cells = Array(lines[row].cells.prefix(column))
        case "J":
            lines[row].cells = Array(lines[row].cells.prefix(column))
            lines[row].isWrapped = false
            for below in lines.indices where below > row { lines[below] = Row() }
        case "?25h": isCursorVisible = true
        case "?25l": isCursorVisible = false
        case "?7h": wraps = true
        case "?7l": wraps = false
        case "?2026h", "?2026l", "0m", "2m", "31m", "33m", "34m": break
        default:
            guard sequence.hasSuffix("A"), let count = Int(sequence.dropLast()) else {
                unknown.append(sequence)
                return
            }
            if row - count < top { clampedMoves += 1 }
            row = max(top, row - count)
        }
    }

    private static func trimmed(_ row: Row) -> String {
        var cells = row.cells.filter { $0 != "\0" }
        while cells.last == " " { cells.removeLast() }
        return String(cells)
    }
}
