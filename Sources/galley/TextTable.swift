// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Columns as docker sets them: at least ten wide, three blanks between them, none after the last.
func textTable(_ rows: [[String]]) -> String {
    var widths: [Int] = []
    for row in rows {
        for (column, cell) in row.dropLast().enumerated() {
            if column == widths.count { widths.append(10) }
            widths[column] = max(widths[column], cell.unicodeScalars.count + 3)
        }
    }
    return rows.map { row in
        var line = ""
        for (column, cell) in row.enumerated() {
            line += cell
            guard column < row.count - 1 else { continue }
            line += String(repeating: " ", count: widths[column] - cell.unicodeScalars.count)
        }
        return line + "\n"
    }.joined()
}
