// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// Numbers the steps of a stage and says what the display calls them, in BuildKit's form: `[builder 2/4] RUN make`.
struct StepNamer {
    /// Empty when the stage is the only one.
    let stageName: String
    var total: Int
    /// Set when names are to carry the platform.
    let platform: Platform?
    private var count = 0

    init(stageName: String, total: Int, platform: Platform?) {
        self.stageName = stageName
        self.total = total
        self.platform = platform
    }

    mutating func next(_ text: String, isTrigger: Bool = false, environment: EnvironmentScope = .init()) -> String {
        count += 1
        return again(text, isTrigger: isTrigger, environment: environment)
    }

    /// Another name with the number of the last one.
    func again(_ text: String, isTrigger: Bool = false, environment: EnvironmentScope = .init()) -> String {
        guard total > 0 else { return text }
        var prefix = ""
        if let platform { prefix += platform.description + Self.target(of: platform, environment) + " " }
        if !stageName.isEmpty { prefix += stageName + " " }
        let number = String(count)
        let padding = String(repeating: " ", count: max(0, String(total).count - number.count))
        return "[\(prefix)\(padding)\(number)/\(total)] \(isTrigger ? "ONBUILD " : "")\(text)"
    }

    /// `->arm64` when the stage cross-builds: its TARGET variables name another platform than its own.
    private static func target(of base: Platform, _ environment: EnvironmentScope) -> String {
        var target = base
        target.variant = nil
        if let named = environment.value(of: "TARGETPLATFORM").flatMap({ try? Platform($0) }) {
            target = named
        } else {
            let (os, architecture) = (environment.value(of: "TARGETOS"), environment.value(of: "TARGETARCH"))
            guard os != nil || architecture != nil else { return "" }
            if let os, !os.isEmpty { target.os = os }
            if let architecture, !architecture.isEmpty { target.architecture = architecture }
            target.variant = environment.value(of: "TARGETVARIANT").flatMap { $0.isEmpty ? nil : $0 }
        }
        if target.os != base.os { return "->\(target)" }
        guard target.architecture != base.architecture else { return "" }
        return "->" + target.architecture + (target.variant.map { "/" + $0 } ?? "")
    }
}

/// The instruction's text for the display: variables replaced, keyword in capitals.
func displayText(_ text: String, _ expander: WordExpander, _ environment: EnvironmentScope) -> String {
    let expanded = (try? expander.expand(text, environment: environment)) ?? text
    guard let space = expanded.utf8.firstIndex(of: UInt8(ascii: " ")) else { return expanded.uppercased() }
    return expanded[..<space].uppercased() + expanded[space...]
}
