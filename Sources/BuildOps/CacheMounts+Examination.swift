// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

extension CacheMounts {
    /// Names of directories that were damaged and that nobody uses now.
    ///
    /// - Parameter removes: removes them too.
    public func unusable(removes: Bool) throws -> [String] {
        guard try statusIfPresent(at: workingDirectory, path) != nil else { return [] }
        let handle = try open(path, [.directory])
        return try readDirectory(handle.raw).map(\.name).sorted().compactMap { name in
            let directory = path.appending(name)
            guard !name.description.hasSuffix(".lock"), try !exists(directory) else { return nil }
            guard removes else { return name.description }
            guard let held = try lock(directory, shared: false) else { return nil }
            try withExtendedLifetime(held) { if try !exists(directory) { try removeTree(directory) } }
            return name.description
        }
    }
}
