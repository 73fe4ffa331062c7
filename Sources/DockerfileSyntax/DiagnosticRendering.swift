// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

extension Diagnostic {
    /// The lines around the mistake, marked and with a caret, then the notes: for a terminal, with a final newline.
    ///
    /// Control characters of the file are shown as `?`, long lines are cut around the caret.
    public func render(in source: SourceText) -> String {
        let lines = range.lines
        // A heredoc can make the span as long as the file: its beginning is enough.
        let last = min(lines.upperBound, lines.lowerBound + 19, source.lineCount)
        let context = last == lines.lowerBound ? 2 : 1
        var text = "\(source.name):\(lines.lowerBound)\n--------------------\n"
        let shown = max(1, lines.lowerBound - context)...min(max(1, source.lineCount), max(last, 1) + context)
        for number in shown {
            let isMarked = number >= lines.lowerBound && number <= last
            let window = Self.window(source, number, around: isMarked ? range.start.column : 1)
            text += " \(Self.padded(number)) | \(isMarked ? ">>>" : "   ") \(Self.visible(source, window))\n"
            if number == lines.lowerBound { text += "     |     \(caret(in: source, window))\n" }
        }
        text += "--------------------\n"
        for note in notes { text += "note: \(note)\n" }
        if let nextStep { text += "help: \(nextStep)\n" }
        return text
    }

    public func render(in dockerfile: Dockerfile) -> String { render(in: dockerfile.source) }

    private static let widest = 160

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: " ", count: max(0, 3 - digits.utf8.count)) + digits
    }

    /// The bytes of a line that are shown.
    private static func window(_ source: SourceText, _ number: Int, around column: Int) -> Range<Int> {
        let whole = source.byteRange(ofLine: number)
        guard whole.count > widest else { return whole }
        var start = whole.lowerBound
        if column > widest / 2 { start = min(whole.lowerBound + column - widest / 2, whole.upperBound - widest) }
        while start > whole.lowerBound, source.bytes[start] & 0xC0 == 0x80 { start -= 1 }
        var end = min(whole.upperBound, start + widest)
        while end < whole.upperBound, source.bytes[end] & 0xC0 == 0x80 { end += 1 }
        return start..<end
    }

    private static func visible(_ source: SourceText, _ window: Range<Int>) -> String {
        var text = String.UnicodeScalarView()
        for scalar in String(decoding: source.bytes[window], as: UTF8.self).unicodeScalars {
            let isControl = scalar.value < 0x20 && scalar != "\t" || scalar.value >= 0x7F && scalar.value < 0xA0
            let isDirectional = (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
            text.append(isControl || isDirectional ? "?" : scalar)
        }
        return String(text)
    }

    /// `^~~~` under the first line of the range.
    private func caret(in source: SourceText, _ window: Range<Int>) -> String {
        let start = min(max(range.start.offset, window.lowerBound), window.upperBound)
        let end = min(max(range.end.offset, start), window.upperBound)
        let before = String(decoding: source.bytes[window.lowerBound..<start], as: UTF8.self)
        let marked = String(decoding: source.bytes[start..<end], as: UTF8.self)
        let indent = before.map { $0 == "\t" ? "\t" : " " }.joined()
        return indent + "^" + String(repeating: "~", count: max(0, marked.count - 1))
    }
}

extension DockerfileDiagnostics {
    /// Every diagnostic with its excerpt, the message last as BuildKit prints it.
    public func render() -> String {
        diagnostics.map { "\($0.render(in: source))ERROR: \($0)\n" }.joined(separator: "\n")
    }
}
