// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The instructions of the Dockerfile language.
public enum Keyword: String, Sendable, CaseIterable {
    case add = "ADD"
    case arg = "ARG"
    case cmd = "CMD"
    case copy = "COPY"
    case entrypoint = "ENTRYPOINT"
    case env = "ENV"
    case expose = "EXPOSE"
    case from = "FROM"
    case healthcheck = "HEALTHCHECK"
    case label = "LABEL"
    case maintainer = "MAINTAINER"
    case onbuild = "ONBUILD"
    case run = "RUN"
    case shell = "SHELL"
    case stopsignal = "STOPSIGNAL"
    case user = "USER"
    case volume = "VOLUME"
    case workdir = "WORKDIR"

    /// The keyword spelled by `text` in any letter case; of letters beyond ASCII those count whose lower case is ASCII.
    public init?(spelledLike text: some StringProtocol) {
        guard text.utf8.count <= 22 else { return nil }
        var upper = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "a"..."z": upper.append(Unicode.Scalar(UInt8(scalar.value - 0x20)))
            case "\u{212A}": upper.append("K")
            case "\u{130}": upper.append("I")
            default: upper.append(scalar)
            }
        }
        self.init(rawValue: String(upper))
    }
}
