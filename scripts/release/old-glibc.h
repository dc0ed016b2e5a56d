/* Included before everything when binaries for old machines are compiled: Debian 11 would bind these to the versions of
   glibc 2.29, which differ from the older ones only in how they report errors. */
#if defined(__x86_64__)
#define RELIC_OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define RELIC_OLDEST "GLIBC_2.17"
#endif
__asm__(".symver exp,exp@" RELIC_OLDEST);
__asm__(".symver log,log@" RELIC_OLDEST);
__asm__(".symver pow,pow@" RELIC_OLDEST);
