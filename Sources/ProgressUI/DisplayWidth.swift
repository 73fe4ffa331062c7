// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// How many columns text takes on a terminal.
extension String {
    var displayWidth: Int {
        if utf8.allSatisfy({ $0 < 0x80 }) { return utf8.count }
        return reduce(0) { $0 + $1.displayWidth }
    }

    /// The text cut to `width` columns, with `...` where there is room for it to say that something is missing.
    func truncated(toWidth width: Int) -> String {
        if displayWidth <= width { return self }
        let marker = width >= 8 ? "..." : ""
        return prefix(width: width - marker.count) + marker
    }

    /// The text filled up with spaces to `width` columns.
    func padded(toWidth width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - displayWidth))
    }

    func leftPadded(toWidth width: Int) -> String {
        String(repeating: " ", count: Swift.max(0, width - displayWidth)) + self
    }

    /// Tabs as the spaces that a terminal shows.
    var withoutTabs: String {
        guard utf8.contains(0x09) else { return self }
        var out = ""
        var column = 0
        for character in self {
            if character == "\t" {
                let count = 8 - column % 8
                out += String(repeating: " ", count: count)
                column += count
            } else {
                out.append(character)
                column += character.displayWidth
            }
        }
        return out
    }

    private func prefix(width: Int) -> String {
        var out = ""
        var used = 0
        for character in self {
            used += character.displayWidth
            if used > width { break }
            out.append(character)
        }
        return out
    }
}

extension Character {
    /// 0 for a combining mark on its own, 2 for wide characters and emoji, else 1.
    var displayWidth: Int {
        var width = 0
        for scalar in unicodeScalars {
            // U+FE0F asks for the emoji form, which is wide; two regional indicators make a flag.
            if scalar.value == 0xFE0F, width > 0, unicodeScalars.first?.properties.isEmoji == true { return 2 }
            if (0x1F1E6...0x1F1FF).contains(scalar.value) { return 2 }
            width = Swift.max(width, scalar.displayWidth)
        }
        return width
    }
}

extension Unicode.Scalar {
    fileprivate var displayWidth: Int {
        if value < 0x300 { return value < 0x20 || (0x7F..<0xA0).contains(value) || value == 0xAD ? 0 : 1 }
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control: return 0
        default: break
        }
        // The vowels and finals of a decomposed Hangul syllable join the consonant before them.
        if (0x1160...0x11FF).contains(value) { return 0 }
        return isWide ? 2 : 1
    }

    /// East Asian Width W and F (Unicode Standard Annex 11), unassigned code points of the ideographic planes included.
    private var isWide: Bool {
        if properties.isEmojiPresentation { return true }
        switch value {
        case 0x1100...0x115F, 0x2329...0x232A, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF,
            0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F,
            0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF, 0x1F200...0x1F265,
            0x20000...0x2FFFD, 0x30000...0x3FFFD:
            return true
        default:
            return false
        }
    }
}
