# For those who build with node-gyp; `npm run build` uses CMakeLists.txt instead. Sources come from native/sources.json in
# both. GYP has no flags for single files, so each instruction set is a library of its own.
{
  'variables': {
    'cxx_flags': ['-std=c++20', '-Wall', '-Wextra', '-O3', '-fno-math-errno', '-ffp-contract=fast', '-fvisibility=hidden', '-fPIC'],
  },
  'target_defaults': {
    'include_dirs': ['native', 'native/include'],
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++14', '-std=gnu++17', '-std=gnu++20', '-fno-omit-frame-pointer'],
    'cflags!': ['-fno-omit-frame-pointer'],
    'cflags_cc': ['<@(cxx_flags)'],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
      'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'OTHER_CPLUSPLUSFLAGS': ['-fno-math-errno', '-ffp-contract=fast'],
    },
  },
  'targets': [
    {
      'target_name': 'relic_generic',
      'type': 'static_library',
      'sources': ['<!@(node scripts/native-sources.mjs isa.generic.source)'],
      'cflags_cc': ['<!@(node scripts/native-sources.mjs isa.generic.<(target_arch))'],
    },
    {
      'target_name': 'relic',
      'sources': ['<!@(node scripts/native-sources.mjs addon comm cpu)'],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': [
        'NAPI_VERSION=8',
        'NODE_ADDON_API_CPP_EXCEPTIONS_ALL',
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
        'RELIC_VERSION="<!(node -p "require(\'./package.json\').version")"',
      ],
      'dependencies': ['relic_generic'],
      'conditions': [
        ['OS=="linux"', {'ldflags': ['-static-libstdc++', '-static-libgcc', '-Wl,--exclude-libs,ALL']}],
        ['target_arch=="x64"', {'dependencies': ['relic_avx2', 'relic_avx512', 'relic_avx512bf16', 'relic_amx']}],
      ],
    },
  ],
  'conditions': [
    ['target_arch=="x64"', {
      'targets': [
        {
          'target_name': 'relic_avx2',
          'type': 'static_library',
          'sources': ['<!@(node scripts/native-sources.mjs isa.avx2.source)'],
          'cflags_cc': ['<!@(node scripts/native-sources.mjs isa.avx2.x64)'],
          'xcode_settings': {'OTHER_CPLUSPLUSFLAGS': ['<!@(node scripts/native-sources.mjs isa.avx2.x64)']},
        },
        {
          'target_name': 'relic_avx512',
          'type': 'static_library',
          'sources': ['<!@(node scripts/native-sources.mjs isa.avx512.source)'],
          'cflags_cc': ['<!@(node scripts/native-sources.mjs isa.avx512.x64)'],
          'xcode_settings': {'OTHER_CPLUSPLUSFLAGS': ['<!@(node scripts/native-sources.mjs isa.avx512.x64)']},
        },
        {
          'target_name': 'relic_avx512bf16',
          'type': 'static_library',
          'sources': ['<!@(node scripts/native-sources.mjs isa.avx512bf16.source)'],
          'cflags_cc': ['<!@(node scripts/native-sources.mjs isa.avx512bf16.x64)'],
          'xcode_settings': {'OTHER_CPLUSPLUSFLAGS': ['<!@(node scripts/native-sources.mjs isa.avx512bf16.x64)']},
        },
        {
          'target_name': 'relic_amx',
          'type': 'static_library',
          'sources': ['<!@(node scripts/native-sources.mjs isa.amx.source)'],
          'cflags_cc': ['<!@(node scripts/native-sources.mjs isa.amx.x64)'],
          'xcode_settings': {'OTHER_CPLUSPLUSFLAGS': ['<!@(node scripts/native-sources.mjs isa.amx.x64)']},
        },
      ],
    }],
  ],
}
