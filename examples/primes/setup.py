from setuptools import Extension, setup

setup(packages=["primes"], package_dir={"": "src"}, ext_modules=[Extension("primes._sieve", ["src/sieve.c"])])
