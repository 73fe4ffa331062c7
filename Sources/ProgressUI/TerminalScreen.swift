// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Turns screens of lines into the bytes that redraw a terminal in place.
///
/// Between frames the cursor rests at the start of the first line: that is where a terminal keeps it when its size
/// changes and lines wrap anew, so the next frame needs no count of rows that may have become wrong.
struct TerminalScreen: Sendable {
    static let showCursor = "\u{1B}[?25h"
    private static let hideCursor = "\u{1B}[?25l"
    // Frames that a terminal shows at once where it knows how (DEC private mode 2026), without wrapping (mode 7).
    private static let begin = "\u{1B}[?2026h\u{1B}[?7l\r"
    private static let end = "\u{1B}[?7h\u{1B}[?2026l"
    private static let eraseLine = "\u{1B}[K"
    private static let eraseBelow = "\u{1B}[J"

    private let color: Bool
    private var shown: [ScreenLine] = []
    private var shownSize: TerminalSize?

    init(color: Bool) { self.color = color }

    /// Replaces the screen; nothing when it already shows this.
    mutating func draw(_ lines: [ScreenLine], size: TerminalSize) -> [UInt8] {
        if lines == shown, size == shownSize { return [] }
        var out = shownSize == nil ? Self.hideCursor : ""
        shown = lines
        shownSize = size
        out += Self.begin + lines.map(styled).joined(separator: Self.eraseLine + "\r\n") + Self.eraseBelow
        if lines.count > 1 { out += "\u{1B}[\(lines.count - 1)A" }
        return Array((out + "\r" + Self.end).utf8)
    }

    /// Puts the last screen and `text` where they stay, with the cursor below.
    mutating func close(_ lines: [ScreenLine], then text: String) -> [UInt8] {
        var out = Self.begin
        for line in lines { out += styled(line) + Self.eraseLine + "\r\n" }
        out += Self.eraseBelow + Self.end
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() { out += line + "\r\n" }
        out += Self.showCursor
        return Array(out.utf8)
    }

    private func styled(_ line: ScreenLine) -> String {
        guard color else { return line.text }
        let code =
            switch line.style {
            case .normal: ""
            case .done: "34"
            case .failed: "31"
            case .cancelled: "33"
            case .output: "2"
            }
        return code.isEmpty ? line.text : "\u{1B}[\(code)m\(line.text)\u{1B}[0m"
    }
}
