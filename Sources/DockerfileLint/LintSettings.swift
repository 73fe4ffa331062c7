// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Which rules are on at one place.
struct LintSettings {
    private var skipped: Set<String> = []
    private var enabled: Set<String> = []
    private var skipsAll = false
    private var enablesAll = false

    init(_ options: CheckOptions) { merge(options) }

    func allows(_ rule: LintRule) -> Bool {
        if rule.isExperimental { return enablesAll || enabled.contains(rule.name) }
        return !skipsAll && !skipped.contains(rule.name)
    }

    /// These settings and those of a `check=` comment directly above an instruction.
    func merging(comment: String?) -> LintSettings {
        guard let comment else { return self }
        for line in comment.split(separator: "\n") {
            guard let value = Self.checkValue(line) else { continue }
            var settings = self
            if let options = try? CheckOptions(parsing: value) { settings.merge(options) }
            return settings
        }
        return self
    }

    private mutating func merge(_ options: CheckOptions) {
        switch options.skip {
        case .all: skipsAll = true
        case .named(let names): skipped.formUnion(names)
        }
        switch options.experimental {
        case .all: enablesAll = true
        case .named(let names): enabled.formUnion(names)
        }
    }

    /// The value of `check = value remark`.
    private static func checkValue(_ line: Substring) -> String? {
        guard let sign = line.firstIndex(of: "=") else { return nil }
        guard line[..<sign].trimmingBlanks().lowercased() == "check" else { return nil }
        let value = line[line.index(after: sign)...].trimmingBlanks()
        return value.isEmpty ? nil : String(value.prefix { $0 != " " })
    }
}

extension Substring {
    func trimmingBlanks() -> Substring {
        var text = self.drop(while: \.isWhitespace)
        while text.last?.isWhitespace ?? false { text.removeLast() }
        return text
    }
}
