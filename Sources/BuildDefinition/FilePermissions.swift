// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What `--chmod` makes of the permission bits of what is copied.
public enum FilePermissions: Hashable, Sendable {
    /// Twelve bits, whatever the source has.
    case exact(UInt32)
    /// A change of the source's bits.
    case symbolic(SymbolicMode)

    /// An octal number up to 07777 or a symbolic mode; nil for anything else.
    public init?(parsing text: String) {
        if let first = text.utf8.first, (0x30...0x39).contains(first) {
            guard text.utf8.allSatisfy({ (0x30...0x37).contains($0) }), let bits = UInt32(text, radix: 8),
                bits <= 0o7777
            else { return nil }
            self = .exact(bits)
        } else {
            guard let mode = SymbolicMode(parsing: text) else { return nil }
            self = .symbolic(mode)
        }
    }

    /// The twelve bits of a copy whose source has `bits`.
    public func applied(to bits: UInt32, isDirectory: Bool) -> UInt32 {
        switch self {
        case .exact(let bits): bits
        case .symbolic(let mode): mode.applied(to: bits, isDirectory: isDirectory)
        }
    }

    var canonicalText: String {
        switch self {
        case .exact(let bits): String(bits, radix: 8)
        case .symbolic(let mode): mode.text
        }
    }
}

/// A symbolic mode as chmod(1) has it, with a umask of 0: `u=rwX,go=rX`, `a+x`, `g=u`.
public struct SymbolicMode: Hashable, Sendable {
    public let text: String
    private let changes: [Change]

    private struct Change: Hashable {
        enum Effect: Hashable {
            case bits(UInt32)
            /// The three bits that another class has at this moment.
            case copy(shift: UInt32)
        }

        var sign: UInt8
        /// The bits that may change.
        var who: UInt32
        var effect: Effect
        /// `X`: execute bits, if it is a directory or any execute bit was set before all changes.
        var conditional: UInt32
    }

    private static let plus = UInt8(ascii: "+")
    private static let minus = UInt8(ascii: "-")
    private static let equals = UInt8(ascii: "=")
    private static let setIDs: UInt32 = 0o6000
    private static let sticky: UInt32 = 0o1000

    public init?(parsing text: String) {
        var changes: [Change] = []
        for clause in text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard let parsed = Self.changes(of: clause) else { return nil }
            changes += parsed
        }
        self.text = text
        self.changes = changes
    }

    private static func changes(of clause: Substring.UTF8View) -> [Change]? {
        var rest = clause[...]
        var who: UInt32 = 0
        classes: while let letter = rest.first {
            switch letter {
            case UInt8(ascii: "u"): who |= 0o4700
            case UInt8(ascii: "g"): who |= 0o2070
            case UInt8(ascii: "o"): who |= 0o0007
            case UInt8(ascii: "a"): who |= 0o6777
            default: break classes
            }
            rest.removeFirst()
        }
        guard !rest.isEmpty else { return nil }
        // "Others" have neither set-id nor sticky bits.
        let hasSpecial = who == 0 || who & ~0o0007 != 0
        let all = who == 0 ? 0o6777 : who
        var changes: [Change] = []
        while let sign = rest.first {
            guard [plus, minus, equals].contains(sign) else { return nil }
            rest.removeFirst()
            guard let found = self.changes(sign, all, hasSpecial, &rest) else { return nil }
            changes += found
        }
        return changes
    }

    /// The permissions after one sign. The copy of a class stands alone; what was gathered before it comes first.
    private static func changes(
        _ sign: UInt8,
        _ who: UInt32,
        _ hasSpecial: Bool,
        _ rest: inout Substring.UTF8View.SubSequence
    ) -> [Change]? {
        var changes: [Change] = []
        var bits: UInt32 = 0
        var conditional: UInt32 = 0
        var mask = who
        func flush(always: Bool) {
            guard always || bits != 0 || conditional != 0 else { return }
            changes.append(Change(sign: sign, who: mask, effect: .bits(bits & mask), conditional: conditional & mask))
            (bits, conditional) = (0, 0)
        }
        letters: while let letter = rest.first {
            switch letter {
            case UInt8(ascii: "r"): bits |= 0o444
            case UInt8(ascii: "w"): bits |= 0o222
            case UInt8(ascii: "x"): bits |= 0o111
            case UInt8(ascii: "X"): if sign == minus { bits |= 0o111 } else { conditional |= 0o111 }
            case UInt8(ascii: "s"): if hasSpecial { bits |= setIDs }
            case UInt8(ascii: "t"):
                guard hasSpecial else { break }
                mask |= sticky
                bits |= sticky
            case UInt8(ascii: "u"), UInt8(ascii: "g"), UInt8(ascii: "o"):
                flush(always: false)
                let shift: UInt32 = letter == UInt8(ascii: "u") ? 6 : letter == UInt8(ascii: "g") ? 3 : 0
                changes.append(Change(sign: sign, who: mask, effect: .copy(shift: shift), conditional: 0))
            case plus, minus, equals: break letters
            default: return nil
            }
            rest.removeFirst()
        }
        flush(always: sign == equals && changes.isEmpty)
        return changes
    }

    /// The twelve bits that `bits` become.
    public func applied(to bits: UInt32, isDirectory: Bool) -> UInt32 {
        let hadExecute = bits & 0o111 != 0
        var result = bits & 0o7777
        for change in changes {
            var effect: UInt32
            switch change.effect {
            case .bits(let bits): effect = bits
            case .copy(let shift): effect = (result >> shift & 0o7) * 0o111 & change.who
            }
            if isDirectory || hadExecute { effect |= change.conditional }
            switch change.sign {
            case Self.minus: result &= ~effect
            case Self.plus: result |= effect
            default: result = result & ~change.who | effect
            }
        }
        return result
    }
}
