// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// Build arguments with a meaning of their own.
enum BuildArguments {
    private static let proxyNames = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"]

    /// Proxy variables for RUN steps, in both letter cases.
    static func proxyEnvironment(_ arguments: [String: String]) -> [String] {
        proxyNames.flatMap { name -> [String] in
            // The lower-case spelling is the later one in byte order and wins, as in BuildKit.
            let spellings = arguments.keys.filter { $0.uppercased() == name }.sorted()
            guard let value = spellings.last.flatMap({ arguments[$0] }) else { return [] }
            return ["\(name)=\(value)", "\(name.lowercased())=\(value)"]
        }
    }

    /// Whether the argument needs no ARG to have an effect.
    static func isPredefined(_ name: String) -> Bool {
        proxyNames.contains(name.uppercased()) || GlobalScope.automaticNames.contains(name)
            || name.hasPrefix("BUILDKIT_") || name == "SOURCE_DATE_EPOCH"
    }

    static func unusedWarning(_ names: [String]) -> BuildWarning? {
        guard !names.isEmpty else { return nil }
        return BuildWarning(message: "One or more build-args \(GoText.list(names)) were not consumed")
    }
}
